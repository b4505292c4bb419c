"""Try a whole transaction again while there is hope and time.

Owns the one retry decision of whoever uses the database: how often, how long between, and until when (EV-58). It
never repeats a statement inside a failed transaction, because it only ever calls the whole work again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
)

from database.failures import classify, public_text

_T = TypeVar("_T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which no new attempt begins."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds left; negative when it has passed."""
        return self.at - time.monotonic()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how fast: EV-58 gives the defaults, another kind of database another set (EV-59)."""

    attempts: int = 3
    first_wait: float = 0.1
    longest_wait: float = 2.0
    sleep: Callable[[float], None] = time.sleep

    def run(self, work: Callable[[], _T], deadline: Deadline) -> _T:
        """Return what `work` returns, calling it again after a retryable failure.

        Raises:
            psycopg.Error: The last failure, when it is not retryable, attempts are used up, or the next wait would
                pass the deadline.
        """
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the policy below decides and raises it
            first = error
        failed: list[Exception] = [first]

        def attempt() -> _T:
            # The first attempt was made above, so that the usual case pays nothing for the machinery; its failure is
            # handed to the policy as it happened.
            if failed:
                raise failed.pop()
            return work()

        retrying = Retrying(
            stop=stop_after_attempt(self.attempts) | stop_before_delay(max(deadline.remaining(), 0.0)),
            wait=wait_exponential(multiplier=self.first_wait, max=self.longest_wait),
            retry=retry_if_exception(lambda error: classify(error).retryable),
            before_sleep=_tell,
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(attempt)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    if error is not None:
        _log.warning(
            "database_retry",
            attempt=state.attempt_number,
            wait_seconds=state.upcoming_sleep,
            failure=classify(error).label,
            error=public_text(error),
        )
