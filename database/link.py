"""The one connection that a process or thread reuses.

Owns its life: opened at the first use, proved alive before use, rebuilt when stale, closed at the end (LC-8). Every
connection is in autocommit, so that one statement is one transaction and costs one round trip; whoever needs more
opens a transaction block. Nothing here retries; `database.retry` does.
"""

import select
import threading
import time
from typing import Any

import psycopg
import structlog
from psycopg.pq import TransactionStatus

from database.address import Address
from database.failures import Failure, classify, public_text
from database.retry import Deadline
from database.settings import Limits
from database.statement import Runner

Connection = psycopg.Connection[tuple[Any, ...]]

_log = structlog.get_logger()


def connect(address: Address, limits: Limits, deadline: Deadline) -> Connection:
    """Return a new connection in autocommit, with credentials read anew when the server refuses those at hand (LC-165).

    Raises:
        psycopg.OperationalError: No connection within the connect timeout or the deadline, or access is denied.
        AddressError: The credentials cannot be had.
    """
    try:
        return _attempt(address, limits, deadline)
    except psycopg.OperationalError as error:
        if classify(error) is not Failure.DENIED or not address.renew():
            raise
        _log.info("database_credentials_renewed")
    return _attempt(address, limits, deadline)


def _attempt(address: Address, limits: Limits, deadline: Deadline) -> Connection:
    # libpq reads whole seconds, and takes less than two for two.
    timeout = max(2, int(min(limits.connect_timeout, deadline.remaining())))
    parameters = {"connect_timeout": timeout, **address.parameters()}
    return psycopg.connect(
        **parameters,  # type: ignore[arg-type]  # libpq's own names
        autocommit=True,
        prepare_threshold=0 if limits.prepare_statements else None,
    )


class Link:
    """Keep one connection for one thread at a time."""

    def __init__(self, address: Address, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._connection: Connection | None = None
        self._runner: Runner | None = None
        self._spoken: select.poll | None = None
        self._last_use = 0.0

    def connection(self, deadline: Deadline) -> Connection:
        """Return a live connection: the one at hand when it is well, otherwise a new one.

        Raises:
            psycopg.OperationalError: No connection within the connect timeout or the deadline.
        """
        held = self._connection
        if held is not None and not self._is_well(held):
            _log.info("database_connection_stale")
            self.discard()
            held = None
        if held is None:
            held = self._connection = self._open(deadline)
        self._last_use = time.monotonic()
        return held

    def runner(self, deadline: Deadline) -> Runner:
        """Return what runs statements at the least cost, over a live connection as `connection` gives it.

        Raises:
            psycopg.OperationalError: No connection within the connect timeout or the deadline.
        """
        connection = self.connection(deadline)
        if self._runner is None:
            self._runner = Runner(connection, prepare=self._limits.prepare_statements)
        return self._runner

    def discard(self) -> None:
        """Drop the connection; the next use opens another. Never raises."""
        held, self._connection = self._connection, None
        self._runner = self._spoken = None
        if held is not None:
            held.close()

    def public_text(self, error: BaseException) -> str:
        """Return one line about a failure, with the secrets of this address masked."""
        return public_text(error, self._address.secrets())

    def _open(self, deadline: Deadline) -> Connection:
        return connect(self._address, self._limits, deadline)

    def _is_well(self, connection: Connection) -> bool:
        """Look at the connection without a round trip, unless something is odd or it lay unused for long."""
        status = connection.pgconn.transaction_status
        if connection.closed or status != TransactionStatus.IDLE:
            return False
        # An idle server has nothing to say: what can be read now is a farewell, an end of file, or a mere notice.
        if self._spoken is None:
            self._spoken = select.poll()
            self._spoken.register(connection.pgconn.socket, select.POLLIN | select.POLLERR | select.POLLHUP)
        idle = time.monotonic() - self._last_use
        if not self._spoken.poll(0) and idle < self._limits.idle_check:
            return True
        try:
            connection.execute("SELECT 1", prepare=False)
        except psycopg.Error:
            return False
        return True


class Links:
    """Hand each thread its own link, and close them all at the end."""

    def __init__(self, address: Address, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._local = threading.local()
        self._lock = threading.Lock()
        self._every: list[Link] = []

    def mine(self) -> Link:
        """Return the link of the calling thread."""
        try:
            link: Link = self._local.link
        except AttributeError:
            link = self._local.link = Link(self._address, self._limits)
            with self._lock:
                self._every.append(link)
        return link

    def close(self) -> None:
        """Close every link; only after the threads that use them have ended."""
        with self._lock:
            links, self._every = self._every, []
        for link in links:
            link.discard()
