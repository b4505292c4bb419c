"""The timer that ends a frozen engine is wound by the loop, and by nothing else."""

import signal
from collections.abc import Iterator

import pytest

from cdc.fuse import NO_FUSE, Fuse


@pytest.fixture
def wound(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the kernel's timer is set to; it is not really set."""
    calls: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _which, seconds: calls.append(seconds))
    before = signal.getsignal(signal.SIGALRM)
    yield calls
    assert signal.getsignal(signal.SIGALRM) is before


def test_each_round_winds_it_but_not_more_often_than_needed(wound: list[float]) -> None:
    """Twenty times in its length, whatever the rounds; at the end it is put out."""
    now = [0.0]
    with Fuse(10, clock=lambda: now[0]).lit(lambda: False) as stopping:
        for _ in range(100):
            assert not stopping()
            now[0] += 0.1
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        assert set(wound) == {10}
        assert 17 <= len(wound) <= 21
    assert wound[-1] == 0


def test_a_stop_puts_it_out(wound: list[float]) -> None:
    """What follows may wait ten seconds for Kafka."""
    with Fuse(10, clock=lambda: 0.0).lit(lambda: True) as stopping:
        assert stopping()
        assert wound == [0]


def test_an_error_puts_it_out(wound: list[float]) -> None:
    """The pause before the next session is no freeze."""

    def session() -> None:
        with Fuse(10).lit(lambda: False) as stopping:
            stopping()
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        session()
    assert wound == [10, 0]


def test_there_may_be_none(wound: list[float]) -> None:
    """CDC_FREEZE_SECONDS=0."""
    with NO_FUSE.lit(lambda: False) as stopping:
        assert not stopping()
    assert wound == []
