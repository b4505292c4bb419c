"""Kill -9 at every step of a change of shards, in parent and shard, while rows change; the next engine completes it."""

import signal
from typing import Any

import psutil
import pytest

NEWEST = pytest.mark.parametrize("server", ["18"], indirect=True, scope="session")
KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}
"""The parent itself, or a shard, whose end the parent passes on."""

FROM_ONE = (
    "shards_published",
    "shard_arrived",
    "shard_confirmed",
    "shards_remembered",
    "shard_created:2",
    "shard_dropped",
)
BETWEEN = ("shard_confirmed", "shard_created", "shard_dropped:2")
TO_ONE = ("shard_created", "shard_dropped:2", "shards_settled")


def dies(world: Any, shards: int, failpoint: str) -> None:
    """Launch an engine and let it die at a failpoint."""
    engine = world.engine(shards, CDC_FAILPOINT=failpoint)
    assert engine.exit_code(60) in KILLED, (failpoint, engine.log)
    reached = {each["failpoint"] for each in engine.events("failpoint_reached")}
    assert reached == {failpoint.partition(":")[0]}, engine.log


@pytest.mark.slow
@NEWEST
@pytest.mark.parametrize(
    ("before", "after", "points"), [(1, 3, FROM_ONE), (3, 2, BETWEEN), (2, 1, TO_ONE)], ids=["1to3", "3to2", "2to1"]
)
def test_a_kill_at_every_step_of_a_change(world: Any, before: int, after: int, points: tuple[str, ...]) -> None:
    """One kill after the other in the same change: nothing is lost, nothing comes twice, nothing is left over."""
    with world.load():
        old = None
        if before > 1:
            engine = world.engine(before)
            old = world.streams(before)
            world.goes_on()
            engine.kill()
        for failpoint in points:
            dies(world, after, failpoint)
        engine = world.engine(after)
        world.streams(after, after=old)
        world.goes_on()
    world.caught_up()
    world.tidy()
    assert engine.stop() == 0
    assert world.judge() > 0


@NEWEST
def test_no_shard_outlives_its_parent(world: Any) -> None:
    """Killed, it leaves nobody behind; and when a shard ends, the others and the parent end with it."""
    engine = world.engine(3)
    world.streams(3)
    parent = psutil.Process(engine.process.pid)
    shards = parent.children()
    engine.kill()
    _gone, alive = psutil.wait_procs(shards, timeout=30)
    assert not alive
    engine = world.engine(3)
    world.wait_until(world.generation, "shards again")
    shards = [
        each for each in psutil.Process(engine.process.pid).children() if "spawn_main" in " ".join(each.cmdline())
    ]
    assert len(shards) == 3
    shards[1].kill()
    assert engine.exit_code() == 128 + signal.SIGKILL
    _gone, alive = psutil.wait_procs(shards, timeout=30)
    assert not alive


@NEWEST
def test_an_engine_of_an_old_generation_is_shut_out(world: Any, wait_until: Any) -> None:
    """It was frozen while its slot was handed over: awake again it writes nothing, and waits as a standby does."""
    old = world.engine(1, CDC_FREEZE_SECONDS="0")
    old.wait_for("streaming")
    with world.load():
        world.goes_on()
    # Its Kafka client has nothing left: what that holds when it is frozen it would send when it wakes (decision 0016).
    world.caught_up()
    old.process.send_signal(signal.SIGSTOP)
    with world.load(seed=8):
        try:
            # As the server does when it notices.
            world.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL")
            new = world.engine(2)
            generation = world.streams(2)
        finally:
            old.process.send_signal(signal.SIGCONT)
        old.wait_for("shards_step")
        world.goes_on()
    world.caught_up()
    assert world.generation() == generation
    assert (old.stop(), new.stop()) == (0, 0)
    assert world.judge() > 0


@NEWEST
def test_a_shard_that_loses_its_connection_goes_on_while_the_others_write(world: Any) -> None:
    """It finds where it stopped although the topic never stands still, and repeats nothing (CD-110)."""
    engine = world.engine(2)
    world.streams(2)
    with world.load():
        world.goes_on()
        world.run(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE slot_name LIKE '%0of2' AND active_pid IS NOT NULL"
        )
        engine.wait_for("retrying")
        engine.wait_for("streaming", count=3)
        world.goes_on()
    world.caught_up()
    assert engine.stop() == 0
    assert world.judge() > 0
