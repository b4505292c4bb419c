"""An incremental snapshot is every shard's with its own rows, and no change of their number loses one."""

from contextlib import closing
from typing import Any

import pytest
from pydantic import SecretStr

from cdc.backfill import command
from cdc.backfill.messages import ENDED, Cancel, Outcome, Request
from cdc.postgres import connect
from cdc.settings import Settings
from cdc.tables import TableName
from cdc.watch.doctor import diagnose
from cdc.watch.status import read_status

NEWEST = pytest.mark.parametrize("server", ["18"], indirect=True, scope="session")
ITEM = TableName("public", "item")


@pytest.fixture
def settings(world: Any) -> Settings:
    """The settings of an engine of two shards."""
    return Settings(
        database_url=SecretStr(world.database.url),
        kafka_bootstrap_servers=world.topic.bootstrap,
        cdc_topic=world.topic.name,
        cdc_tables=(ITEM,),
        cdc_dead_letter_topic="",
        publication_name="items",
        slot_name=world.slot,
        cdc_shards=2,
    )


@NEWEST
def test_every_shard_sends_its_own_rows(world: Any, settings: Settings) -> None:
    """Asked by one command: each row once, one sum at the end; and status and doctor see all the slots."""
    world.run("INSERT INTO item SELECT 'k' || i, 0 FROM generate_series(1, 300) i")
    engine = world.engine(2)
    world.streams(2)
    world.caught_up()
    with closing(connect(world.database.url)) as connection:
        estimate = command.check(connection, settings, ITEM, lambda _: None)
        assert len(estimate.slots) == 2
        command.listen(connection)
        command.send(connection, [Request("r1", slot, ITEM) for slot in estimate.slots])
        notices = command.follow(connection, estimate.slots, "r1", 30)
        last = next(notice for notice in notices if notice is not None and notice.outcome in ENDED)
    assert (last.outcome, last.rows) == (Outcome.DONE, 300)
    status = read_status(settings)
    assert status.slot.state == "active"
    assert [(each.name, each.state) for each in status.shards] == [(slot, "active") for slot in estimate.slots]
    assert [each.found for each in diagnose(settings) if each.severity.value == "error"] == []
    assert engine.stop() == 0
    read = [record.key for record in world.topic.records() if record.operation == "r"]
    assert sorted(read) == sorted(f"k{number}" for number in range(1, 301))


@NEWEST
def test_a_job_that_has_not_ended_keeps_the_number_as_it_is(world: Any, settings: Settings) -> None:
    """The request lives in the old slot: the change is refused until the job is over, and then it is made."""
    engine = world.engine(1)
    engine.wait_for("streaming")
    assert engine.stop() == 0
    with closing(connect(world.database.url)) as connection:
        command.send(connection, [Request("r1", world.slot, ITEM)])
    engine = world.engine(2)
    assert engine.exit_code() == 1
    (said,) = engine.events("stopped_by_error")
    assert said["kind"] == "reshard_job"
    assert "--cancel" in said["remedy"]
    with closing(connect(world.database.url)) as connection:
        command.send(connection, [Cancel(world.slot, "r1")])
    engine = world.engine(1)
    engine.wait_for("snapshot_ended")
    world.caught_up()
    assert engine.stop() == 0
    engine = world.engine(2)
    world.streams(2)
    assert engine.stop() == 0
