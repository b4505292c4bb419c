"""A whole transaction is tried again while it can help, and no longer (EV-58)."""

import psycopg
import pytest
from psycopg import errors

from database import Deadline, RetryPolicy


def later() -> Deadline:
    """Return a moment that no test reaches; made by each, for a whole run of the suite may take an hour."""
    return Deadline.after(3600)


class Work:
    """Fail with the given errors, one each call, then return."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        """Do it once."""
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture
def waits() -> list[float]:
    """The waits that a policy asked for."""
    return []


@pytest.fixture
def policy(waits: list[float]) -> RetryPolicy:
    """The policy of EV-58 on a clock that does not wait."""
    return RetryPolicy(sleep=waits.append)


def _lost() -> Exception:
    return psycopg.OperationalError("server closed the connection unexpectedly")


def test_success_is_returned_at_once(policy: RetryPolicy, waits: list[float]) -> None:
    """One call, no wait."""
    work = Work()
    assert (policy.run(work, later()), work.calls, waits) == ("done", 1, [])


def test_waits_start_at_a_tenth_of_a_second_and_double(policy: RetryPolicy, waits: list[float]) -> None:
    """Three attempts, 0.1 and 0.2 s between them (EV-58)."""
    work = Work(_lost(), _lost())
    assert (policy.run(work, later()), work.calls, waits) == ("done", 3, [0.1, 0.2])


def test_the_third_failure_is_raised_as_it_is(policy: RetryPolicy) -> None:
    """Attempts are used up: the caller sees the last error itself (EV-58)."""
    last = _lost()
    work = Work(_lost(), errors.QueryCanceled("timeout"), last, _lost())
    with pytest.raises(psycopg.OperationalError) as caught:
        policy.run(work, later())
    assert caught.value is last
    assert work.calls == 3


def test_the_wait_never_passes_two_seconds(waits: list[float]) -> None:
    """Doubling stops at the longest wait (EV-58)."""
    RetryPolicy(attempts=9, sleep=waits.append).run(Work(*(_lost() for _ in range(8))), later())
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


FINAL = {
    "duplicate": errors.UniqueViolation("duplicate key"),
    "bad data": errors.UntranslatableCharacter("unsupported Unicode escape sequence"),
    "wrong password": psycopg.OperationalError("FATAL:  password authentication failed"),
    "a fault of ours": ValueError("x"),
}


@pytest.mark.parametrize("error", FINAL.values(), ids=FINAL)
def test_what_cannot_pass_is_not_tried_again(error: Exception, policy: RetryPolicy) -> None:
    """Duplicates, bad data, missing rights and our own faults end it at once (EV-58, EV-60)."""
    work = Work(error)
    with pytest.raises(type(error)) as caught:
        policy.run(work, later())
    assert caught.value is error
    assert work.calls == 1


def test_no_attempt_begins_after_the_deadline(policy: RetryPolicy, waits: list[float]) -> None:
    """A wait that would pass the deadline is not begun (LC-24)."""
    work = Work(_lost(), _lost())
    with pytest.raises(psycopg.OperationalError):
        policy.run(work, Deadline.after(0.05))
    assert (work.calls, waits) == (1, [])
