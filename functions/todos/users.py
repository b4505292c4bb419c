"""Users, in PostgreSQL (LC-125, LC-128, LC-129).

Owns the SQL of `users`, and that a create may be repeated: the id is chosen before the first attempt, so an attempt
whose answer was lost is recognised by it. Every call is one statement, hence one transaction.
"""

from collections.abc import Iterable
from typing import Any, Final, LiteralString

import psycopg
from psycopg import errors

from database import AddressError, Deadline, RetryPolicy
from functions.todos.faults import EmailTakenError, KeyReusedError, StoreUnavailableError
from functions.todos.model import UserInput, instant
from functions.todos.pool import Pool

STORE: Final = "user"

User = dict[str, Any]

_INSERT: LiteralString = """
INSERT INTO users (id, name, email, department) VALUES (%s, %s, %s, %s)
ON CONFLICT (id) DO NOTHING
RETURNING id::text, name, email, department, created_at, updated_at
"""
_GET: LiteralString = """
SELECT id::text, name, email, department, created_at, updated_at FROM users WHERE id = %s
"""
_LIST: LiteralString = """
SELECT id::text, name, email, department, created_at, updated_at FROM users
ORDER BY created_at DESC, id LIMIT %s OFFSET %s
"""
_EXISTING: LiteralString = "SELECT id::text FROM users WHERE id = ANY(%s::uuid[])"

_Rows = list[tuple[Any, ...]]


class Users:
    """Keep users over the connections of a pool."""

    def __init__(self, pool: Pool, policy: RetryPolicy | None = None) -> None:
        self._pool = pool
        self._policy = policy or RetryPolicy()

    def create(self, identity: str, user: UserInput, deadline: Deadline) -> User:
        """Store a user under an id; the same again changes nothing and returns it.

        Raises:
            EmailTakenError: Another user has the address.
            KeyReusedError: The id is that of a user with other content.
            StoreUnavailableError: PostgreSQL does not answer; the user may have been stored.
        """
        try:
            rows = self._rows(_INSERT, (identity, user.name, user.email, user.department), deadline)
        except errors.UniqueViolation:
            # Two attempts at once with one id may meet in the index of addresses first.
            rows = []
            if self.get(identity, deadline) is None:
                raise EmailTakenError from None
        if rows:
            return _user(rows[0])
        found = self.get(identity, deadline)
        if found is None or any(found[name] != value for name, value in user.model_dump().items()):
            raise KeyReusedError
        return found

    def get(self, identity: str, deadline: Deadline) -> User | None:
        """Return one user, or None."""
        rows = self._rows(_GET, (identity,), deadline)
        return _user(rows[0]) if rows else None

    def page(self, limit: int, offset: int, deadline: Deadline) -> list[User]:
        """Return users, the newest first."""
        return [_user(row) for row in self._rows(_LIST, (limit, offset), deadline)]

    def existing(self, identities: Iterable[str], deadline: Deadline) -> frozenset[str]:
        """Return those of the ids that are users now."""
        rows = self._rows(_EXISTING, (sorted(set(identities)),), deadline)
        return frozenset(str(row[0]) for row in rows)

    def ping(self, deadline: Deadline) -> None:
        """Ask for a row, once.

        Raises:
            StoreUnavailableError: There is no answer.
        """
        try:
            with self._pool.connection(deadline) as connection:
                connection.execute("SELECT 1").fetchone()
        except (psycopg.Error, AddressError) as error:
            raise self._unavailable(error) from error

    def _rows(self, statement: LiteralString, parameters: tuple[Any, ...], deadline: Deadline) -> _Rows:
        def attempt() -> _Rows:
            with self._pool.connection(deadline) as connection:
                return connection.execute(statement, parameters).fetchall()

        try:
            return self._policy.run(attempt, deadline)
        except errors.UniqueViolation:
            raise
        except (psycopg.Error, AddressError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(STORE, self._pool.public_text(error))


def _user(row: tuple[Any, ...]) -> User:
    identity, name, email, department, created, updated = row
    return {
        "id": identity,
        "name": name,
        "email": email,
        "department": department,
        "created_at": instant(created),
        "updated_at": instant(updated),
    }
