"""Several shards carry what one engine would: each change once, the changes of a key in their order."""

from typing import Any

import httpx
import pytest

from cdc.shards.names import Generation
from stack.ports import free_ports

NEWEST = pytest.mark.parametrize("server", ["18"], indirect=True, scope="session")


@NEWEST
def test_shards_carry_every_change_of_a_key_in_order(world: Any) -> None:
    """With inserts, updates, moved keys and deletions all the time, on a key of two columns; every shard has a part."""
    engine = world.engine(5)
    with world.load():
        world.streams(5)
        world.goes_on(400)
    world.caught_up()
    assert engine.stop() == 0
    assert world.judge() > 400
    assert {part for part in world.sources() if part.label} == set(Generation(1, 5).parts)


@pytest.mark.slow
def test_the_number_of_shards_changes_under_load(world: Any) -> None:
    """1, 3, 2, 1: each start with another number goes on where the last one stopped, and leaves nothing over."""
    before = None
    with world.load():
        for shards in (1, 3, 2, 1):
            engine = world.engine(shards)
            before = world.streams(shards, after=before)
            world.goes_on(100)
            assert engine.stop() == 0, engine.log
        engine = world.engine(1)
        world.streams(1)
    world.caught_up()
    world.tidy()
    assert engine.stop() == 0
    assert world.judge() > 400


@NEWEST
def test_a_first_start_with_shards_takes_one_snapshot(world: Any) -> None:
    """The rows that are there come once, as read; what changes afterwards is the shards'; one endpoint tells of all."""
    world.run("SELECT pg_drop_replication_slot(%s)", world.slot)
    world.run("INSERT INTO item SELECT 'old' || i, 0 FROM generate_series(1, 200) i")
    (port,) = free_ports(1)
    engine = world.engine(3, CDC_HTTP_PORT=str(port))
    world.streams(3)
    world.run("UPDATE item SET n = nextval('version')")
    world.caught_up()
    world.tidy()
    said = httpx.get(f"http://127.0.0.1:{port}/readyz").json()
    assert (said["ready"], said["shards"].keys()) == (True, {"1.0of3", "1.1of3", "1.2of3"})
    figures = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    sent = [line.split() for line in figures.splitlines() if line.startswith("headwater_cdc_records_total")]
    assert sorted(name for name, _ in sent) == [f'headwater_cdc_records_total{{shard="{k}"}}' for k in range(3)]
    assert sum(float(count) for _, count in sent) == 200
    assert engine.stop() == 0
    found = {}
    for record in world.topic.records():
        found.setdefault(record.key, []).append(record.operation)
    assert found == {f"old{number}": ["r", "u"] for number in range(1, 201)}


@NEWEST
def test_another_number_waits_for_the_engine_that_runs(world: Any) -> None:
    """As when one container takes over from another: what the old one delivers while the new one waits is its own."""
    old = world.engine(1)
    old.wait_for("streaming")
    with world.load():
        new = world.engine(2)
        new.wait_for("retrying")
        world.goes_on(100)
        # Killed, so that the topic has more than the slot has confirmed.
        old.kill()
        world.streams(2)
        world.goes_on(50)
    world.caught_up()
    assert new.stop() == 0
    assert world.judge() > 0


@NEWEST
def test_a_shard_that_somebody_dropped_is_refused_and_a_new_snapshot_cures_it(world: Any) -> None:
    """Its changes are gone: nothing goes on in silence, and the remedy that the refusal names is enough."""
    engine = world.engine(2)
    world.streams(2)
    assert engine.stop() == 0
    world.run("SELECT pg_drop_replication_slot(%s)", f"{world.slot}_g1_1of2")
    world.run("INSERT INTO item SELECT 'lost' || i, 0 FROM generate_series(1, 20) i")
    engine = world.engine(2)
    assert engine.exit_code() == 1
    (said,) = engine.events("stopped_by_error")
    assert said["kind"] == "shards"
    assert "shard 1.1of2" in said["detail"]
    assert "when_needed" in said["remedy"]
    engine = world.engine(2, CDC_SNAPSHOT_MODE="when_needed")
    world.streams(2)
    world.caught_up()
    world.tidy()
    assert engine.stop() == 0
    read = [record.key for record in world.topic.records() if record.operation == "r"]
    assert sorted(read) == sorted(f"lost{number}" for number in range(1, 21))
