"""Kill -9 at every named failpoint of the real process; the next engine completes what it left, change by change."""

from dataclasses import dataclass
from typing import Any

import pytest

from cdc.backfill.messages import PREFIX, Request, encode
from cdc.failpoints import Failpoint
from cdc.tables import TableName

NEWEST, OLDEST = "18", "15"


@dataclass(frozen=True)
class Case:
    """At which reachings of a failpoint one engine after the other is killed, and in the middle of what."""

    counts: tuple[int, ...] = (1,)
    story: str = "changes"
    oldest: bool = False
    """Whether the server has a part in it, so that the oldest one is to show it too."""
    first: str | None = None
    """A failpoint at which an engine before them is killed, that they may reach theirs."""
    stops: bool = False
    """Whether it is reached by an orderly stop."""
    linger: int = 0
    """Milliseconds that records wait in the producer, so that some surely are when the engine dies."""


CASES = {
    Failpoint.SLOT_TAKEN: Case(oldest=True),
    Failpoint.TAILS_READ: Case(),
    Failpoint.BLOCK_BEGUN: Case((1, 9), oldest=True),
    Failpoint.SPILLED: Case((1, 3)),
    Failpoint.REPLAYING: Case((1, 17), oldest=True),
    Failpoint.RECORD_SENT: Case((1, 17, 1000)),
    Failpoint.TRANSACTION_TORN: Case((1, 17, 700), oldest=True),
    Failpoint.CHANGE_TORN: Case((1, 3)),
    Failpoint.LETTER_TORN: Case((1, 2)),
    Failpoint.ACKNOWLEDGED: Case((1, 17)),
    Failpoint.BOOKMARK_DUE: Case((1, 3), linger=200),
    Failpoint.BOOKMARK_WRITTEN: Case((1, 3), linger=200),
    Failpoint.CONFIRMING: Case((1, 3), linger=200),
    Failpoint.CONFIRMED: Case((1, 3), oldest=True, linger=200),
    Failpoint.SNAPSHOT_BEGUN: Case(story="snapshot", oldest=True),
    Failpoint.SNAPSHOT_ROW: Case((1, 17), story="snapshot"),
    Failpoint.SNAPSHOT_CAUGHT_UP: Case(story="snapshot", first="snapshot_row:17"),
    Failpoint.SNAPSHOT_COPIED: Case(story="snapshot"),
    Failpoint.SNAPSHOT_REMEMBERED: Case(story="snapshot"),
    Failpoint.SNAPSHOT_PROMOTED: Case(story="snapshot", oldest=True),
    Failpoint.CHUNK_LOW: Case((1, 2), story="chunks"),
    Failpoint.CHUNK_READ: Case((1, 2), story="chunks"),
    Failpoint.CHUNK_HIGH: Case((1, 2), story="chunks"),
    Failpoint.CHUNK_TORN: Case((1, 17, 150), story="chunks", oldest=True),
    Failpoint.CHUNKS_DONE: Case(story="chunks"),
    # Those of shards are killed where their tests are, in `shards/`.
    Failpoint.SHARDS_PUBLISHED: Case(story="shards"),
    Failpoint.SHARD_ARRIVED: Case(story="shards"),
    Failpoint.SHARD_CONFIRMED: Case(story="shards"),
    Failpoint.SHARDS_REMEMBERED: Case(story="shards"),
    Failpoint.SHARD_CREATED: Case(story="shards"),
    Failpoint.SHARD_DROPPED: Case(story="shards"),
    Failpoint.SHARDS_SETTLED: Case(story="shards"),
    Failpoint.DRAINED: Case(stops=True),
    Failpoint.LAST_CONFIRMED: Case(stops=True),
}


def of_story(story: str) -> pytest.MarkDecorator:
    """Give every case of a story to a test; a failpoint without a case fails here, where the tests are gathered."""
    found = [
        pytest.param(server, point, id=f"{server}-{point.value}")
        for server in (NEWEST, OLDEST)
        for point in Failpoint
        if CASES[point].story == story and (server == NEWEST or CASES[point].oldest)
    ]
    # The scope lets pytest take all of a server's cases together.
    return pytest.mark.parametrize(("server", "point"), found, indirect=["server"], scope="session")


def kill(world: Any, point: Failpoint, *, trickle: bool = True) -> None:
    """Kill an engine at each of the failpoint's counts, with some changes before each and after the last."""
    case = CASES[point]
    for armed in [case.first] if case.first else []:
        world.dies(armed, trickle=trickle)
    for count in case.counts:
        world.dies(f"{point.value}:{count}", trickle=trickle, stops=case.stops, linger=case.linger)
        world.small(f"after{count}")


@pytest.mark.slow
@of_story("changes")
def test_a_kill_while_changes_stream(world: Any, point: Failpoint) -> None:
    """Small and large transactions, a savepoint rolled back, moved keys, dead letters: each change once, in order."""
    world.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", world.slot)
    world.small("a")
    world.large("b")
    world.small("c")
    kill(world, point)
    world.touch("01")
    world.recovers()
    world.judge(read="nothing")


@pytest.mark.slow
@of_story("snapshot")
def test_a_kill_in_the_initial_snapshot(world: Any, point: Failpoint) -> None:
    """What changes while no engine runs comes too, each row that was there comes once, and no slot is left over."""
    # Nothing is written before the first slot exists: the rows would come as read and not as written.
    kill(world, point, trickle=False)
    world.touch("01")
    world.recovers()
    world.judge(read="old")
    slots = world.run("SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()")
    assert slots == [(world.slot,)]


@pytest.mark.slow
@of_story("chunks")
def test_a_kill_in_an_incremental_snapshot(world: Any, point: Failpoint) -> None:
    """Rows asked for while changes flow: those that did not change come once, the others as the stream knows them."""
    world.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", world.slot)
    request = encode(Request("r1", world.slot, TableName("public", "item")))
    world.run("SELECT pg_logical_emit_message(false, %s, %s)", PREFIX, request)
    world.touch("01")
    kill(world, point)
    world.touch("02")
    world.touch("20")
    # What it confirms meanwhile does not tell that it has read all.
    world.recovers(until="snapshot_ended")
    world.judge(read="any")
