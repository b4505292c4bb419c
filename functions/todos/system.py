"""The two stores together: what needs both, and in which order (LC-131, LC-133, LC-134, LC-137).

Owns the ids of what is created, and the order of steps across the stores: a todo is written after its user has been
seen, and nothing is written to both. What a user that vanishes leaves behind, `functions.todos.checker` finds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from database import Deadline
from functions.todos import items
from functions.todos.faults import StoreUnavailableError
from functions.todos.items import Items, Todo
from functions.todos.model import STATUSES, TodoInput, UserInput, instant, overdue
from functions.todos.pool import Pool
from functions.todos.settings import POOL_CONNECTIONS, POOL_IDLE_SECONDS, TodoSettings
from functions.todos.users import User, Users

_KEYS: Final = UUID("0d6ee5f3-94b5-4d4f-9d0d-3e5a3c4d4b0a")
"""Namespace of the ids that are made of an Idempotency-Key; never to be changed."""

_RECENT: Final = 5
_HEALTH_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class System:
    """Hold both stores; `now` gives the moment of a write."""

    users: Users
    items: Items
    pool: Pool
    now: Callable[[], datetime]

    @classmethod
    def of(cls, settings: TodoSettings) -> "System":
        """Return the system that the settings name; nothing is connected yet."""
        pool = Pool.of(settings.address(), settings.limits, POOL_CONNECTIONS, POOL_IDLE_SECONDS)
        kept = Items(items.client(settings), settings.dynamodb_table_name, settings.dynamodb_user_index)
        return cls(Users(pool), kept, pool, lambda: datetime.now(UTC))

    def create_user(self, user: UserInput, key: str | None, deadline: Deadline) -> User:
        """Store a user; with a key, the same call again returns the same user. Raises as `Users.create`."""
        identity = uuid4() if key is None else uuid5(_KEYS, f"user:{key}")
        return self.users.create(str(identity), user, deadline)

    def create_todo(self, user_id: str, todo: TodoInput, key: str | None, deadline: Deadline) -> Todo | None:
        """Store a todo of a user, or return None when there is no such user. Raises as `Items.create`.

        With a key, the same call again returns the same todo, as it is by then.
        """
        if self.users.get(user_id, deadline) is None:
            return None
        identity = uuid4() if key is None else uuid5(_KEYS, f"todo:{user_id}:{key}")
        now = instant(self.now())
        made = {"id": str(identity), "user_id": user_id, **todo.model_dump(), "created_at": now, "updated_at": now}
        return self.items.create(made)

    def update_todo(self, identity: str, changes: dict[str, str | None]) -> Todo | None:
        """Change fields of a todo, or return None when there is none."""
        return self.items.update(identity, changes, instant(self.now()))

    def dashboard(self, user_id: str, deadline: Deadline) -> dict[str, Any] | None:
        """Return a user, the numbers of their todos and the last changed ones, or None when there is no such user."""
        user = self.users.get(user_id, deadline)
        if user is None:
            return None
        todos = self.items.of_user(user_id)
        now = self.now()
        counts = {status: sum(todo["status"] == status for todo in todos) for status in STATUSES}
        return {
            "user": user,
            "todoStats": {
                "total": len(todos),
                "pending": counts["pending"],
                "in_progress": counts["in_progress"],
                "completed": counts["completed"],
                "overdue": sum(overdue(todo, now) for todo in todos),
            },
            "recentTodos": sorted(todos, key=lambda todo: str(todo["updated_at"]), reverse=True)[:_RECENT],
            "generatedAt": instant(now),
        }

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether both stores answer, and what is known of each; one that is down hides nothing of the other."""
        checks = {"rds": self._check(self._ask_users), "dynamodb": self._check(self._ask_items)}
        well = all(check["status"] == "healthy" for check in checks.values())
        status = "healthy" if well else "unhealthy"
        return well, {"status": status, "timestamp": instant(self.now()), "checks": checks}

    def _ask_users(self) -> str:
        self.users.ping(Deadline.after(_HEALTH_SECONDS))
        return "answers"

    def _ask_items(self) -> str:
        state = self.items.describe()
        if state not in ("ACTIVE", "UPDATING"):
            raise StoreUnavailableError(items.STORE, f"the table is {state}")
        return f"table is {state}"

    @staticmethod
    def _check(ask: Callable[[], str]) -> dict[str, str]:
        try:
            return {"status": "healthy", "details": ask()}
        except StoreUnavailableError as error:
            return {"status": "unhealthy", "details": str(error)}
