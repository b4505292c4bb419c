"""A day of an idle table beside a busy one: its slot holds back a heartbeat interval's worth at most (CD-11)."""

from dataclasses import replace

import pytest

from cdc.errors import CdcError
from cdc.lsn import Lsn
from cdc.simulation.idle import VARIANTS, Idleness, run_day, run_variants
from cdc.slots.vigil import LOOKS, NOISE_BYTES, Heartbeat, Silence

USUAL, DEAF, MUTE = VARIANTS


@pytest.mark.parametrize("given", VARIANTS, ids=["usual", "answers nothing", "says nothing"])
def test_24_hours_hold_back_less_than_an_interval(given: Idleness) -> None:
    """At every moment of a simulated day at 1 MB/s, whatever the server says or does not say."""
    held = run_day(given)
    assert held.hours == 24
    assert 0 < held.retained_max_bytes <= held.heartbeat_bytes == 60_000_000
    assert held.ok


def test_a_server_that_answers_needs_no_heartbeat() -> None:
    """Asking is enough, and holds back seconds, not an interval; a mute server gets one or two messages a minute."""
    usual, mute = run_day(replace(USUAL, hours=1)), run_day(replace(MUTE, hours=1))
    assert usual.heartbeats == 0
    assert usual.retained_max_bytes < 10_000_000
    assert 60 <= mute.heartbeats <= 60 * 2


@pytest.mark.parametrize("speaks", [30.0, None])
def test_a_planted_bug_is_found(speaks: float | None) -> None:
    """Neither asking nor heartbeats: a mute server's slot holds back the whole day. Each of both is enough."""
    answering = replace(USUAL, hours=1, speaks_every=None)
    assert run_day(replace(answering, asks=False)).ok
    assert run_day(replace(answering, heartbeat_seconds=1e9)).retained_max_bytes < 10_000_000
    broken = run_day(replace(DEAF, hours=1, speaks_every=speaks, asks=False, heartbeat_seconds=1e9))
    assert broken.retained_max_bytes > (3_500_000_000 if speaks is None else 30_000_000)


@pytest.mark.parametrize("seconds", [10.0, 60.0, 600.0])
def test_the_interval_holds_whatever_it_is(seconds: float) -> None:
    """The looks come often enough for a short one and not more often than needed for a long one."""
    assert run_day(replace(MUTE, hours=2, heartbeat_seconds=seconds)).ok
    assert Heartbeat(seconds).look_every(5) == min(5, seconds / LOOKS)


def test_the_worst_of_all_is_told() -> None:
    """What the command prints."""
    held = run_variants(0.5)
    assert held.ok
    assert held.retained_max_bytes == run_day(replace(MUTE, hours=0.5)).retained_max_bytes


def test_a_server_nobody_writes_to_is_left_in_peace() -> None:
    """What it writes by itself is no growth; so it may pause."""
    heartbeat = Heartbeat(60)
    confirmed = Lsn(1000)
    assert not any(heartbeat.due(float(now), confirmed, Lsn(1000 + NOISE_BYTES)) for now in range(10_000))
    assert heartbeat.due(10_000.0, confirmed, Lsn(1001 + NOISE_BYTES))
    assert not heartbeat.due(10_001.0, confirmed, Lsn(2000 + NOISE_BYTES))


def test_no_interval_no_heartbeat() -> None:
    """CDC_HEARTBEAT_SECONDS=0."""
    heartbeat = Heartbeat(0)
    assert not any(heartbeat.due(float(now), Lsn(0), Lsn(10**12)) for now in range(1000))
    assert heartbeat.look_every(5) == 5


def test_a_silent_server_is_asked_once_and_then_given_up() -> None:
    """Half the deadline at the latest; a word of it begins anew, and so does a reader that Kafka held back."""
    silence = Silence(deadline=10, ask_after=60, now=0)
    asked = [now / 2 for now in range(20) if silence.watch(now / 2, heard=False)]
    assert asked == [5.5]
    assert not silence.watch(10, heard=True)
    assert not silence.watch(30, heard=False)
    for now in range(31, 41):
        silence.watch(now, heard=False)
    with pytest.raises(CdcError):
        silence.watch(41, heard=False)
