"""Walk through the API as a client does (LC-139): `python -m functions.todos.demo_client --url http://127.0.0.1:8091`.

Owns the walk and the comparison of each answer with what was asked for; any mismatch ends it.
Exit codes: 0 all as expected, 1 a mismatch, 2 the settings are wrong, 3 the API cannot be reached.
"""

import argparse
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import uuid4

import httpx
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class DemoSettings(BaseSettings):
    """Read how much to do, and how often to look at health."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    demo_users_count: Annotated[int, Field(ge=1, le=1000)] = 5
    demo_todos_per_user: Annotated[int, Field(ge=1, le=1000)] = 3
    operation_interval_ms: Annotated[int, Field(ge=0)] = 5000


class MismatchError(Exception):
    """An answer is not what was to be expected."""


@dataclass(slots=True)
class Walk:
    """Make requests and compare the answers; `say` is told each step."""

    http: httpx.Client
    say: Callable[[str], None]
    run: str = field(default_factory=lambda: uuid4().hex[:12])

    def ask(self, method: str, path: str, status: int, body: Any = None, key: str | None = None) -> dict[str, Any]:
        """Make one request and return its answer.

        Raises:
            MismatchError: Another status.
            httpx.TransportError: No answer.
        """
        headers = {} if key is None else {"Idempotency-Key": f"{self.run}-{key}"}
        answer = self.http.request(method, path, json=body, headers=headers)
        if answer.status_code != status:
            raise MismatchError(f"{method} {path}: {answer.status_code} instead of {status}: {answer.text[:300]}")
        said: dict[str, Any] = answer.json()
        return said

    def same(self, what: str, found: object, wanted: object) -> None:
        """Compare two values.

        Raises:
            MismatchError: They differ.
        """
        if found != wanted:
            raise MismatchError(f"{what}: {found!r} instead of {wanted!r}")

    def user(self, number: int, todos: int) -> None:
        """Create one user with todos, change, read and count them."""
        user_body = {
            "name": f"Demo User {number}",
            "email": f"demo-{self.run}-{number}@example.com",
            "department": "Engineering",
        }
        user = self.ask("POST", "/users", 201, user_body, f"user-{number}")["user"]
        self.same("the user created", {name: user[name] for name in user_body}, user_body)
        self.same("the user read", self.ask("GET", f"/users/{user['id']}", 200)["user"], user)
        path = f"/users/{user['id']}/todos"
        created = []
        for place in range(todos):
            body = {"title": f"Task {place + 1}", "priority": ("low", "medium", "high", "urgent")[place % 4]}
            todo = self.ask("POST", path, 201, body, f"todo-{number}-{place}")["todo"]
            again = self.ask("POST", path, 201, body, f"todo-{number}-{place}")["todo"]
            self.same("the todo created again with its key", again, todo)
            created.append(todo["id"])
        changed = self.ask("PUT", f"/todos/{created[0]}", 200, {"status": "completed"})["todo"]
        self.same("the status", changed["status"], "completed")
        self.same("the todo read", self.ask("GET", f"/todos/{created[0]}", 200)["todo"], changed)
        listed = self.ask("GET", path, 200)
        self.same("the todos listed", sorted(todo["id"] for todo in listed["todos"]), sorted(created))
        stats = self.ask("GET", f"/dashboard/{user['id']}", 200)["todoStats"]
        expected = {"total": todos, "pending": todos - 1, "in_progress": 0, "completed": 1, "overdue": 0}
        self.same("the numbers of the dashboard", stats, expected)
        deleted = self.ask("DELETE", f"/todos/{created[-1]}", 200)["deletedTodo"]
        self.same("the todo deleted", deleted["id"], created[-1])
        self.ask("GET", f"/todos/{created[-1]}", 404)
        self.say(f"user {number}: {todos} todos created, one completed, one deleted; the dashboard agrees")

    def health(self) -> None:
        """Ask for the health of both stores."""
        self.same("health", self.ask("GET", "/health", 200)["status"], "healthy")
        self.say("both stores are healthy")


def walk(url: str, settings: DemoSettings, checks: int, say: Callable[[str], None]) -> None:
    """Do all of it; `checks` looks at health follow, 0 for no end.

    Raises:
        MismatchError: An answer is wrong.
        httpx.TransportError: No answer.
    """
    pause = threading.Event()
    with httpx.Client(base_url=url, timeout=30) as http:
        client = Walk(http, say)
        for number in range(1, settings.demo_users_count + 1):
            client.user(number, settings.demo_todos_per_user)
        done = 0
        while True:
            client.health()
            done += 1
            if done == checks:
                return
            pause.wait(settings.operation_interval_ms / 1000)


def main(arguments: list[str] | None = None) -> int:
    """Walk once; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m functions.todos.demo_client", description=__doc__)
    parser.add_argument("--url", required=True, help="where the API is")
    parser.add_argument("--checks", type=int, default=0, help="how often to look at health; 0: until interrupted")
    options = parser.parse_args(arguments)
    try:
        settings = DemoSettings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            sys.stderr.write(f"{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}\n")
        return 2
    try:
        walk(options.url, settings, options.checks, lambda text: print(text, flush=True))  # noqa: T201
    except MismatchError as error:
        sys.stderr.write(f"not as expected: {error}\n")
        return 1
    except httpx.TransportError as error:
        sys.stderr.write(f"{options.url} does not answer ({type(error).__name__}): is the API running?\n")
        return 3
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
