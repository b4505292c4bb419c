"""Owns the kernel's timer that kills this process. Decides nothing about when.

On Linux it is a POSIX timer whose signal is SIGKILL: the one signal that also ends a process that is stopped, so that
nothing of it runs again. Its clock goes on while the machine is suspended. Elsewhere it is the process's interval
timer: SIGALRM waits for a stopped process to wake, and other threads may run for an instant before it dies.
Source of facts: timer_create(2), sigevent(3type), setitimer(2), signal(7). Python has no binding for the first.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_CLOCK_BOOTTIME: Final = 7
_SIGEV_SIGNAL: Final = 0


class _Event(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_int * 12),
    )


class _Span(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Span), ("value", _Span))


def kill_timer() -> Callable[[float], None]:
    """Return what sets the timer to so many seconds from now; 0 puts it out.

    Raises:
        OSError: The kernel gives no timer.
    """
    return _posix_timer() if sys.platform == "linux" else _interval_timer()


def _posix_timer() -> Callable[[float], None]:
    library = ctypes.CDLL(None, use_errno=True)
    timer = ctypes.c_void_p()
    event = _Event(None, signal.SIGKILL, _SIGEV_SIGNAL)
    _checked(library.timer_create(_CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(timer)))

    def set_to(seconds: float) -> None:
        whole = int(seconds)
        span = _Span(whole, int((seconds - whole) * 1e9))
        _checked(library.timer_settime(timer, 0, ctypes.byref(_Setting(_Span(0, 0), span)), None))

    return set_to


def _interval_timer() -> Callable[[float], None]:
    # Whoever started the process may have told it to ignore the signal.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})

    def set_to(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    return set_to


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
