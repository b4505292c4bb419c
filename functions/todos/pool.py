"""At most five connections to PostgreSQL (LC-136).

Owns that a connection goes back on every path, that one which lay idle for 30 s is not used again, and that a caller
who finds all of them taken waits no longer than its own deadline. A Lambda instance answers one request at a time, so
it has one connection; threads of a local process share five. A pool with threads of its own would stand still in
a frozen instance.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, LifoQueue

import psycopg

from database import Address, Connection, Deadline, Limits, Link


@dataclass(slots=True)
class _Slot:
    link: Link
    last_use: float = 0.0


class Pool:
    """Lend connections, the one used last first, so that others fall idle."""

    def __init__(
        self, address: Address, limits: Limits, size: int, idle_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._slots = [_Slot(Link(address, limits)) for _ in range(size)]
        self._free: LifoQueue[_Slot] = LifoQueue()
        for slot in self._slots:
            self._free.put(slot)

    @classmethod
    def of(cls, address: Address, limits: Limits, size: int, idle_seconds: float) -> "Pool":
        """Return a pool on the monotonic clock."""
        return cls(address, limits, size, idle_seconds, time.monotonic)

    @property
    def free(self) -> int:
        """Return how many may be taken now."""
        return self._free.qsize()

    @contextmanager
    def connection(self, deadline: Deadline) -> Iterator[Connection]:
        """Lend a connection that is well.

        Raises:
            psycopg.OperationalError: None is free or can be opened before the deadline.
            AddressError: The credentials cannot be had.
        """
        try:
            slot = self._free.get(timeout=max(deadline.remaining(), 0.0))
        except Empty:
            raise psycopg.OperationalError("all connections are in use") from None
        try:
            if self._clock() - slot.last_use > self._idle_seconds:
                slot.link.discard()
            yield slot.link.connection(deadline)
        except psycopg.OperationalError:
            slot.link.discard()
            raise
        finally:
            slot.last_use = self._clock()
            self._free.put(slot)

    def public_text(self, error: BaseException) -> str:
        """Return one line about a failure, with the secrets of the address masked."""
        return self._slots[0].link.public_text(error)

    def close(self) -> None:
        """Close every connection; only when nobody uses one."""
        for slot in self._slots:
            slot.link.discard()
