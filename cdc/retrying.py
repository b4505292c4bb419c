"""Owns how an attempt is repeated: which errors, how patiently, what is said of it. What may pass `policy` decides."""

from collections.abc import Callable
from typing import Final

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from cdc.errors import CdcError
from cdc.policy import Retry, decide
from cdc.shutdown import Shutdown

_log: Final = structlog.get_logger("cdc.engine")


def patient(
    shutdown: Shutdown,
    *,
    after: Callable[[RetryCallState], None] | None = None,
    pausing: Callable[[], None] = lambda: None,
) -> Retrying:
    """Return what calls a function until it returns, as long as its errors are of kinds that may pass.

    Args:
        shutdown: A stop that is asked for ends the pause, and with it everything.
        after: Called after each failed attempt.
        pausing: Called before each pause.
    """

    def before(state: RetryCallState) -> None:
        pausing()
        _say_so(state)

    return Retrying(
        retry=retry_if_exception(_may_pass),
        wait=_patience,
        after=after or (lambda _: None),
        before_sleep=before,
        sleep=shutdown.pause,
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CdcError) and isinstance(decide(error.kind), Retry)


def _patience(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    decision = decide(error.kind) if isinstance(error, CdcError) else None
    if not isinstance(decision, Retry):
        return 0.0
    wait: Callable[[RetryCallState], float] = wait_exponential_jitter(
        multiplier=decision.first, max=decision.longest, jitter=decision.first
    )
    return wait(state)


def _say_so(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    attempt = state.attempt_number
    if isinstance(error, CdcError) and attempt & (attempt - 1) == 0:
        # Of a long trouble every doubling of the attempts is said, not every attempt.
        _log.warning("retrying", kind=error.kind.value, error=str(error), attempt=attempt, pause=state.upcoming_sleep)
