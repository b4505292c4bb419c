"""The SQLAlchemy engine of one process, and the sessions on it.

Owns how a connection is opened: with fresh credentials after a refusal (LC-165), and again and again while the database
wakes, until a deadline (LC-154). It never builds a statement; `models` and the blueprints do.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, QueuePool

from database import Connection, Deadline, Failure, RetryPolicy, classify, connect, public_text
from functions.serverless_api.settings import ApiSettings

# A waking database refuses at once or says nothing at all, so attempts are bounded by the deadline and not by number.
_WAKING: Final = RetryPolicy(attempts=1000, first_wait=0.25, longest_wait=2.0)

# NAT gateways forget a connection after 350 s without traffic, in silence.
_RECYCLE_SECONDS: Final = 300

_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class Database:
    """The engine, made once and kept between warm invocations (LC-158); it connects at the first use."""

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self._address = settings.address()
        self._checks = ThreadPoolExecutor(1, "database-health")
        pool: dict[str, Any] = {"poolclass": NullPool}
        if settings.db_pool_size:
            pool = {
                "poolclass": QueuePool,
                "pool_size": settings.db_pool_size,
                "max_overflow": 0,
                "pool_timeout": settings.db_connect_timeout,
                "pool_recycle": _RECYCLE_SECONDS,
                "pool_pre_ping": True,
            }
        # Asking the server for hstore at each connection is a round trip for a type that no model has.
        self.engine: Engine = create_engine(
            "postgresql+psycopg://", creator=self._connect, use_native_hstore=False, **pool
        )

    @contextmanager
    def until(self, deadline: Deadline) -> Iterator[None]:
        """Let connections that are opened within this block wait for the database until `deadline` at most."""
        token = _deadline.set(deadline)
        try:
            yield
        finally:
            _deadline.reset(token)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session that is committed on success, rolled back on an error, and always closed (LC-157)."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def check(self) -> None:
        """Ask the database for an answer on a connection of its own, without waiting for it to wake (LC-163).

        Raises:
            TimeoutError: No answer within `DB_HEALTH_SECONDS`.
            psycopg.Error: The database cannot be reached or refuses.
            AddressError: The credentials cannot be had.
        """
        seconds = self.settings.db_health_seconds
        # In a thread, because no setting of libpq bounds the wait for a server that has gone silent.
        asked = self._checks.submit(self._ask, Deadline.after(seconds))
        try:
            asked.result(seconds)
        except TimeoutError:
            asked.cancel()
            raise

    def failure(self, error: BaseException) -> Failure:
        """Return the kind of a failure, whether SQLAlchemy has wrapped it or not."""
        if isinstance(error, PoolTimeout):
            return Failure.CONNECTION
        return classify(_driver_error(error))

    def public_text(self, error: BaseException) -> str:
        """Return one line about a failure, with the secrets of the address masked."""
        return public_text(_driver_error(error), self._address.secrets())

    def close(self) -> None:
        """Close every connection."""
        self._checks.shutdown(wait=False, cancel_futures=True)
        self.engine.dispose()

    def _connect(self) -> Connection:
        deadline = _deadline.get() or Deadline.after(self.settings.db_wake_seconds)
        connection = _WAKING.run(partial(connect, self._address, self.settings.limits, deadline), deadline)
        # SQLAlchemy begins and ends transactions by itself and wants a connection that does not end each statement's.
        connection.autocommit = False
        return connection

    def _ask(self, deadline: Deadline) -> None:
        with connect(self._address, self.settings.limits, deadline) as connection:
            connection.execute("SELECT 1", prepare=False)


@cache
def database() -> Database:
    """Return the database of this process."""
    return Database(ApiSettings())


def _driver_error(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
