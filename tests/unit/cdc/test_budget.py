"""What the slot holds back is judged by its share of the budget, and by how long the rest will last."""

import math

import pytest

from cdc.lsn import Lsn
from cdc.slots.budget import Held, Mark, WalBudget
from cdc.watch.health import Deadlines, Health
from cdc.watch.metrics import Monitor
from cdc.watch.observer import Phase, Progress


@pytest.mark.parametrize(
    ("retained", "mark"),
    [
        (0, Mark.WITHIN),
        (499, Mark.WITHIN),
        (500, Mark.HALF),
        (750, Mark.SCARCE),
        (999, Mark.SCARCE),
        (1000, Mark.SPENT),
    ],
)
def test_the_marks_are_half_three_quarters_and_all(retained: int, mark: Mark) -> None:
    """Warn, be unready, act."""
    held = WalBudget(1000).take(0, retained)
    assert held.mark is mark
    assert (held.reason is None) == (mark < Mark.SCARCE)


def test_the_time_left_is_that_of_the_last_minute() -> None:
    """A slot lets go in jumps, so the slope spans them; what is older than a minute no longer counts."""
    budget = WalBudget(100_000)
    assert budget.take(0, 1000).seconds_left == math.inf
    held = budget.take(10, 2000)
    assert (held.slope, held.seconds_left) == (100, 980)
    for now in range(20, 200, 10):
        held = budget.take(now, 2000 + 10 * now)
    assert held.slope == pytest.approx(10)
    assert "s left at 10 bytes/s" in held.text


def test_shrinking_or_without_a_budget_it_lasts_for_ever() -> None:
    """Nothing to warn of."""
    budget = WalBudget(1000)
    budget.take(0, 600)
    held = budget.take(5, 500)
    assert held.slope < 0
    assert held.seconds_left == math.inf
    unlimited = WalBudget(None)
    unlimited.take(0, 0)
    assert unlimited.take(5, 10**15) == Held(10**15, 2e14)


def test_at_three_quarters_the_engine_is_not_ready_and_says_why() -> None:
    """A readiness probe is what an operator already watches; the figures are beside it."""
    health = Health(Deadlines(), clock=lambda: 0.0)
    monitor = Monitor(health, now=lambda: 0.0)
    monitor.entered(Phase.STREAMING)
    monitor.moved(Progress(Lsn(8), Lsn(8), 0, 0, 0, 0, full=False))
    assert b"headwater_cdc_retained_wal_bytes NaN" in monitor.exposition()
    budget = WalBudget(1000)
    monitor.held(budget.take(0, 700))
    assert health.ready().ok
    monitor.held(budget.take(10, 800))
    assert not health.ready().ok
    summary = monitor.summary()
    assert summary["reason"] == "the slot holds back 800 bytes of WAL, 80 % of the budget; 20 s left at 10 bytes/s"
    assert (summary["retained_wal_bytes"], summary["wal_seconds_left"], summary["live"]) == (800, 20, True)
    text = monitor.exposition()
    for line in (b"retained_wal_bytes 800.0", b"wal_slope_bytes_per_second 10.0", b"wal_seconds_left 20.0"):
        assert b"headwater_cdc_" + line in text
    monitor.held(budget.take(20, 100))
    assert health.ready().ok
    assert monitor.summary()["wal_seconds_left"] is None
