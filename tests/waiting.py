"""Bounded waits: a test never sleeps for a guess."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

_SECONDS = 0.02
_PAUSE = threading.Event()


def within(condition: Callable[[], Any], seconds: float) -> Any:
    """Return what the condition gives once it is true, or what it gives after so many seconds."""
    for _ in range(int(seconds / _SECONDS)):
        if found := condition():
            return found
        _PAUSE.wait(_SECONDS)
    return condition()


def eventually(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Return what the condition gives once it is true; fail after so many seconds."""
    return within(condition, seconds) or pytest.fail(f"not within {seconds} s: {what}")
