"""The timer that ends a frozen engine is wound by the loop, and by nothing else."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cdc.slots.fuse import Fuse

STOPPED_WITH_A_TIMER = """
import os, signal, time
from cdc.slots.killtimer import kill_timer
kill_timer()(0.5)
os.kill(os.getpid(), signal.SIGSTOP)
print("woken")
"""


@pytest.fixture
def wound() -> list[float]:
    """What the timer was set to; there is none."""
    return []


@pytest.fixture
def fuse(wound: list[float]) -> Callable[..., Fuse]:
    """A maker of fuses with that timer."""
    return lambda seconds, clock=lambda: 0.0: Fuse(seconds, clock, lambda: wound.append)


def test_each_round_winds_it_but_not_more_often_than_needed(fuse: Callable[..., Fuse], wound: list[float]) -> None:
    """Twenty times in its length, whatever the rounds; at the end it is put out."""
    now = [0.0]
    with fuse(10, lambda: now[0]).lit(lambda: False) as stopping:
        for _ in range(100):
            assert not stopping()
            now[0] += 0.1
        assert set(wound) == {10}
        assert 17 <= len(wound) <= 21
    assert wound[-1] == 0


def test_a_stop_puts_it_out(fuse: Callable[..., Fuse], wound: list[float]) -> None:
    """What follows may wait ten seconds for Kafka."""
    with fuse(10).lit(lambda: True) as stopping:
        assert stopping()
        assert wound == [0]


def test_an_error_puts_it_out(fuse: Callable[..., Fuse], wound: list[float]) -> None:
    """The pause before the next session is no freeze."""

    def session() -> None:
        with fuse(10).lit(lambda: False) as stopping:
            stopping()
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        session()
    assert wound == [10, 0]


def test_there_may_be_none(fuse: Callable[..., Fuse], wound: list[float]) -> None:
    """CDC_FREEZE_SECONDS=0."""
    with fuse(0).lit(lambda: False) as stopping:
        assert not stopping()
    assert wound == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a stopped process dies when it wakes")
def test_a_stopped_process_dies_without_waking() -> None:
    """Nobody continues it: what waits in its queues is never sent."""
    process = subprocess.Popen([sys.executable, "-c", STOPPED_WITH_A_TIMER], stdout=subprocess.PIPE, cwd=Path.cwd())
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (-signal.SIGKILL, b"")
