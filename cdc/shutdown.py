"""Owns the end of the process: SIGTERM and SIGINT ask for an orderly stop. Ends nothing itself.

The loop asks between its rounds. Whatever else may take long (a query, a pause) runs inside `interruptible`, where
the signal raises: as a `KeyboardInterrupt`, on which psycopg cancels the running query on the server.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopRequested(KeyboardInterrupt):  # no error: somebody wants the engine to end
    """The engine was asked to stop while it did something that may take long."""


class Shutdown:
    """Whether a stop was asked for."""

    def __init__(self) -> None:
        self.requested = False
        self._raises = False

    def __call__(self) -> bool:
        """Say whether a stop was asked for."""
        return self.requested

    def install(self) -> None:
        """Take the process's SIGTERM and SIGINT."""
        for number in _SIGNALS:
            signal.signal(number, self.request)

    def request(self, _number: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """Ask for the stop; as a signal handler it must do next to nothing.

        Raises:
            StopRequested: The process is at a place that can be interrupted.
        """
        self.requested = True
        if self._raises:
            raise StopRequested

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a stop interrupt what runs inside.

        Raises:
            StopRequested: A stop was asked for, before or while it ran.
        """
        before, self._raises = self._raises, True
        try:
            self.check()
            yield
        finally:
            self._raises = before

    def check(self) -> None:
        """Raise if a stop was asked for.

        Raises:
            StopRequested: It was.
        """
        if self.requested:
            raise StopRequested

    def pause(self, seconds: float) -> None:
        """Wait, unless a stop is asked for.

        Raises:
            StopRequested: It was.
        """
        with self.interruptible():
            time.sleep(seconds)
