"""Owns the lock that every submitter of one plan folder takes, so that two never bring a job in at the same time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BusyError(Exception):
    """Say that another submitter of this folder is at work."""


@contextmanager
def alone(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be; the system frees it when a process dies.

    Raises:
        BusyError: Somebody else holds it, and `wait` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BusyError from None
        yield
