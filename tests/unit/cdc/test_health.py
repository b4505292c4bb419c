"""Replication that stands still is seen by its deadlines, with a clock that the test holds."""

from dataclasses import replace

import pytest

from cdc.lsn import Lsn
from cdc.watch.health import Deadlines, Health
from cdc.watch.observer import Phase, Progress

IDLE = Progress(Lsn(8), Lsn(8), 0, 0, 0, 0, full=False)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The test's clock."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """A health that has just begun to stream; ready within 10 s, alive within 100 s."""
    made = Health(Deadlines(ready=10, live=100), clock)
    made.entered(Phase.STREAMING)
    return made


def test_rounds_and_a_word_of_the_server_keep_it_ready(health: Health, clock: Clock) -> None:
    """An idle table beside an idle server is no trouble as long as keepalives come."""
    for _ in range(50):
        clock.now += 9
        health.heard()
        health.moved(IDLE)
        assert health.ready().ok
        assert health.live().ok


def test_a_silent_server_is_seen_although_the_loop_turns(health: Health, clock: Clock) -> None:
    """First not ready, at the long deadline not alive; a keepalive makes it well again."""
    for second in range(1, 120):
        clock.now += 1
        health.moved(IDLE)
        assert health.ready().ok is (second <= 10)
        assert health.live().ok is (second <= 100)
    assert "the server has said nothing for 119.0 s" in health.ready().reason
    health.heard()
    assert health.ready().ok
    assert health.live().ok


def test_a_loop_that_hangs_is_seen(health: Health, clock: Clock) -> None:
    """Nobody calls any more: the endpoint's own thread tells by the clock."""
    clock.now += 10.5
    health.heard()
    assert "the loop has not made a round" in health.ready().reason


def test_kafka_that_acknowledges_nothing_is_seen_although_the_server_talks(health: Health, clock: Clock) -> None:
    """Records in flight must move; how many are added does not matter."""
    for second in range(1, 15):
        clock.now += 1
        health.heard()
        health.moved(replace(IDLE, records=second, in_flight=second))
        assert health.ready().ok is (second <= 11)
    assert "Kafka has acknowledged nothing" in health.ready().reason
    health.moved(replace(IDLE, records=14, in_flight=13))
    assert health.ready().ok


def test_the_first_record_after_a_silence_has_its_whole_time(health: Health, clock: Clock) -> None:
    """What was acknowledged an hour ago says nothing about Kafka now."""
    clock.now += 3600
    health.heard()
    health.moved(replace(IDLE, records=1, in_flight=1))
    assert health.ready().ok


def test_the_server_is_not_blamed_while_the_loop_does_not_listen(health: Health, clock: Clock) -> None:
    """At the limits the loop waits for Kafka; then it is Kafka that must move."""
    for second in range(1, 31):
        clock.now += 1
        health.moved(replace(IDLE, records=100 + second, in_flight=100, full=True))
        assert health.ready().ok
    clock.now += 11
    health.moved(replace(IDLE, records=130, in_flight=100, full=True))
    assert health.ready().reason.startswith("Kafka")


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.STREAMING])
def test_only_streaming_is_ready(health: Health, phase: Phase) -> None:
    """A standby, a snapshot and an engine that tries again carry no changes."""
    health.entered(phase)
    verdict = health.ready()
    assert not verdict.ok
    assert phase.value in verdict.reason
    assert health.live().ok


def test_attempts_keep_an_engine_alive_and_their_end_does_not(health: Health, clock: Clock) -> None:
    """With the database away for hours a restart would cure nothing; an engine that gave up trying is another thing."""
    for _ in range(100):
        clock.now += 20
        health.entered(Phase.OPENING)
        health.entered(Phase.RETRYING)
        assert health.live().ok
    clock.now += 101
    assert "no new attempt" in health.live().reason


def test_a_long_snapshot_is_alive(health: Health, clock: Clock) -> None:
    """Creating a slot waits for transactions of others; killing the engine would begin the wait anew."""
    health.entered(Phase.OPENING)
    clock.now += 7200
    assert health.live().ok
    health.entered(Phase.SNAPSHOT)
    clock.now += 7200
    assert health.live().ok
