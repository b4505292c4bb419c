"""Transactions that are open while the number of shards changes: the old generation delivers what they wrote before."""

from typing import Any

import psycopg
import pytest

NEWEST = pytest.mark.parametrize("server", ["18"], indirect=True, scope="session")

EARLY = "INSERT INTO item SELECT 'early' || i, 0 FROM generate_series(1, 20) i"


@pytest.mark.parametrize(
    ("before", "after", "prepared"), [(1, 2, False), (2, 3, True)], ids=["1to2-open", "2to3-prepared"]
)
def test_a_change_waits_for_transactions_that_have_written(
    world: Any, before: int, after: int, *, prepared: bool
) -> None:
    """Decoding would not find the new publications for what they wrote; until they end the old generation streams."""
    engine = world.engine(before)
    old = world.streams(before)
    with psycopg.connect(world.database.url) as slow:
        slow.execute(EARLY)
        pid = slow.info.backend_pid
        if prepared:
            slow.execute("PREPARE TRANSACTION 'slow'")
        assert engine.stop() == 0
        engine = world.engine(after)
        waits = engine.wait_for("shards_wait_for_transactions")
        assert (waits["processes"], waits["prepared"]) == ([] if prepared else [pid], int(prepared))
        world.run("INSERT INTO item VALUES ('meanwhile', 1)")
        world.caught_up()
        assert world.generation() == old
        if not prepared:
            slow.execute("INSERT INTO item VALUES ('late', 1)")
            slow.commit()
    if prepared:
        world.run("COMMIT PREPARED 'slow'")
    world.streams(after, after=old)
    world.run("INSERT INTO item VALUES ('behind', 1)")
    world.caught_up()
    world.tidy()
    assert engine.stop() == 0
    assert world.judge() == (22 if prepared else 23)


@NEWEST
def test_a_change_back_to_one_waits_for_nobody(world: Any) -> None:
    """The publication of the whole was there before any of them: it gives what they wrote, whenever they commit."""
    engine = world.engine(2)
    old = world.streams(2)
    with psycopg.connect(world.database.url) as slow:
        slow.execute(EARLY)
        assert engine.stop() == 0
        engine = world.engine(1)
        world.streams(1, after=old)
    world.caught_up()
    world.tidy()
    assert engine.stop() == 0
    assert world.judge() == 20


@NEWEST
def test_stopped_while_it_waits_an_engine_ends_in_order(world: Any) -> None:
    """And the next one, which wants another number, goes on with the generation that there is."""
    engine = world.engine(1)
    world.streams(1)
    with psycopg.connect(world.database.url) as slow:
        slow.execute(EARLY)
        assert engine.stop() == 0
        engine = world.engine(2)
        engine.wait_for("shards_wait_for_transactions")
        engine.wait_for("streaming")
        assert engine.stop() == 0
        engine = world.engine(1)
        world.streams(1)
    world.caught_up()
    assert engine.stop() == 0
    assert world.judge() == 20
