"""Kill -9 at every named failpoint of the real process; the next engine completes what it left, change by change.

The database is the judge: a trigger writes down every change of a row within the change's own transaction, so that
what is rolled back is not there, and the records of each key must be those changes, once and in their order.
"""

import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from itertools import groupby
from typing import Any, NamedTuple

import pytest

from cdc.backfill.messages import PREFIX, Request, encode
from cdc.failpoints import Failpoint
from cdc.letterbox import load, scan
from cdc.lsn import Position
from cdc.records import POSITION
from cdc.scan import StoredRecord, read_topics
from cdc.tables import TableName

NARROW = 20_000
"""Bytes that a record of the topic may have, and a dead letter too."""
OLD_ROWS = 250
BOTH, NEWEST = ("18", "15"), ("18",)

SCHEMA = """
CREATE SEQUENCE version;
CREATE TABLE item (id text PRIMARY KEY, n bigint NOT NULL DEFAULT nextval('version'), pad text NOT NULL DEFAULT '');
CREATE TABLE told (at bigserial, op text, before text, id text, n bigint, digest text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN INSERT INTO told (op, before) VALUES ('d', OLD.id);
    ELSIF TG_OP = 'INSERT' THEN INSERT INTO told (op, id, n, digest) VALUES ('c', NEW.id, NEW.n, md5(NEW.pad));
    ELSE INSERT INTO told (op, before, id, n, digest) VALUES ('u', OLD.id, NEW.id, NEW.n, md5(NEW.pad));
    END IF;
    RETURN NULL;
END $$;
CREATE PUBLICATION items FOR TABLE item
"""


@dataclass(frozen=True)
class Case:
    """At which reachings of a failpoint to kill, on which servers, and in the middle of what."""

    counts: tuple[int, ...] = (1,)
    servers: tuple[str, ...] = NEWEST
    story: str = "changes"
    first: str | None = None
    """A failpoint at which an engine before it was killed."""
    stops: bool = False
    """Whether it is reached by an orderly stop."""
    environment: Mapping[str, str] = field(default_factory=dict)


CASES = {
    Failpoint.SLOT_TAKEN: Case(servers=BOTH),
    Failpoint.TAILS_READ: Case(),
    Failpoint.BLOCK_BEGUN: Case((1, 9), BOTH),
    Failpoint.SPILLED: Case((1, 3)),
    Failpoint.REPLAYING: Case((1, 17), BOTH),
    Failpoint.RECORD_SENT: Case((1, 17, 1000)),
    Failpoint.TRANSACTION_TORN: Case((1, 17, 700), BOTH),
    Failpoint.CHANGE_TORN: Case((1, 2)),
    Failpoint.LETTER_TORN: Case((1, 2)),
    Failpoint.ACKNOWLEDGED: Case((1, 17, 1000)),
    Failpoint.BOOKMARK_DUE: Case((1, 2)),
    Failpoint.BOOKMARK_WRITTEN: Case((1, 2)),
    Failpoint.CONFIRMING: Case((1, 2), BOTH),
    Failpoint.CONFIRMED: Case((1, 2), BOTH),
    Failpoint.SNAPSHOT_BEGUN: Case(servers=BOTH, story="snapshot"),
    Failpoint.SNAPSHOT_ROW: Case((1, 17), story="snapshot"),
    Failpoint.SNAPSHOT_CAUGHT_UP: Case(story="snapshot", first="snapshot_row:17"),
    Failpoint.SNAPSHOT_COPIED: Case(story="snapshot"),
    Failpoint.SNAPSHOT_REMEMBERED: Case(story="snapshot"),
    Failpoint.SNAPSHOT_PROMOTED: Case(servers=BOTH, story="snapshot"),
    Failpoint.CHUNK_LOW: Case((1, 2), story="chunks"),
    Failpoint.CHUNK_READ: Case((1, 2), story="chunks"),
    Failpoint.CHUNK_HIGH: Case((1, 2), story="chunks"),
    Failpoint.CHUNK_TORN: Case((1, 17, 150), BOTH, story="chunks"),
    Failpoint.CHUNKS_DONE: Case(story="chunks"),
    Failpoint.DRAINED: Case(stops=True),
    Failpoint.LAST_CONFIRMED: Case(stops=True),
}


def cases(*stories: str) -> list[Any]:
    """Return server, failpoint and count of every case of some stories; a failpoint without a case is an error."""
    return [
        pytest.param(server, point, count, id=f"{server}-{point.value}-{count}")
        for server in BOTH
        for point in Failpoint
        for count in CASES[point].counts
        if CASES[point].story in stories and server in CASES[point].servers
    ]


class Seen(NamedTuple):
    """One record of a key: what happened, the row's version, and the digest of its text."""

    operation: str
    n: int | None = None
    digest: str | None = None


@dataclass
class World:
    """A table whose every change is written down, two topics, and the engines that carry it there."""

    database: Any
    topic: Any
    letters: Any
    slot: str
    launch: Callable[..., Any]
    wait_until: Callable[..., Any]

    def engine(self, failpoint: str = "", **environment: str) -> Any:
        """Launch an engine."""
        return self.launch(
            CDC_TABLES="public.item",
            PUBLICATION_NAME="items",
            CDC_TOPIC=self.topic.name,
            CDC_DEAD_LETTER_TOPIC=self.letters.name,
            CDC_STREAM_MEMORY_BYTES="65536",
            CDC_FAILPOINT=failpoint,
            **environment,
        )

    def dies(self, failpoint: str, *, stops: bool = False) -> None:
        """Launch an engine and let it die at a failpoint."""
        engine = self.engine(failpoint)
        if stops:
            engine.wait_for("streaming")
            self.wait_until(lambda: len(self.stored(self.topic)) > 100, "records")
            engine.process.terminate()
        assert engine.exit_code() == -signal.SIGKILL, engine.log
        name = failpoint.partition(":")[0]
        for event in ("failpoint_armed", "failpoint_reached"):
            assert [each["failpoint"] for each in engine.events(event)] == [name], engine.log

    def recovers(self) -> None:
        """Launch an engine that nobody kills; wait until everything is confirmed, and stop it in order."""
        engine = self.engine()
        engine.wait_for("streaming")
        end = self.database.wal_end()
        self.wait_until(lambda: self.database.confirmed(self.slot) >= end, "everything confirmed")
        assert engine.stop() == 0
        assert not engine.events("failpoint_armed")

    def stored(self, topic: Any) -> list[StoredRecord]:
        """Return what a topic holds."""
        found: list[StoredRecord] = []
        read_topics(topic.bootstrap, {}, [topic.name], found.append)
        return found

    def carried(self) -> dict[str, list[Seen]]:
        """Return the records of each key in order, those that became letters among them; none may be there twice."""
        placed: list[tuple[Position, str, Seen]] = []
        own = [(each.partition, Position.decode(each.headers[POSITION]), each) for each in self.stored(self.topic)]
        for _, partition in groupby(own, lambda each: each[0]):
            positions = [position for _, position, _ in partition]
            assert positions == sorted(set(positions))
        placed += [(position, json.loads(each.key or b"")["id"], seen(each.value)) for _, position, each in own]
        letters = scan(self.letters.bootstrap, {}, [self.letters.name]).letters
        whole = [each for each in self.stored(self.letters) if POSITION in each.headers]
        assert len(letters) == len(whole) > 0
        for letter in letters:
            content = load(self.letters.bootstrap, {}, letter)
            placed.append((letter.position, json.loads(content.key)["id"], seen(content.value)))
        found = defaultdict(list)
        for _, key, what in sorted(placed, key=lambda each: each[0]):
            found[key].append(what)
        return found

    def told(self) -> dict[str, list[Seen]]:
        """Return what the database says that happened to each key since the trigger is there."""
        found = defaultdict(list)
        for operation, before, key, n, digest in self.database.run(
            "SELECT op, before, id, n, digest FROM told ORDER BY at"
        ):
            if operation == "d" or (operation == "u" and before != key):
                found[before] += [Seen("d"), Seen("tombstone")]
            if operation != "d":
                found[key].append(Seen("c" if before != key else "u", n, digest))
        return found

    def rows(self) -> dict[str, tuple[int, str]]:
        """Return the table."""
        return {key: (n, digest) for key, n, digest in self.database.run("SELECT id, n, md5(pad) FROM item")}


def seen(value: bytes | None) -> Seen:
    """Return what a record says."""
    if value is None:
        return Seen("tombstone")
    fields = json.loads(value)
    if fields["__op"] == "d":
        return Seen("d")
    return Seen(fields["__op"], fields["n"], md5(fields["pad"].encode(), usedforsecurity=False).hexdigest())


@pytest.fixture
def world(database, new_topic, slot, launch, wait_until) -> World:
    """A table with rows that nobody has written down, and the trigger for the changes from here on."""
    database.run(SCHEMA)
    database.run(f"INSERT INTO item SELECT 'old' || to_char(i, 'FM000'), i FROM generate_series(1, {OLD_ROWS}) i")  # noqa: S608  # a number of ours
    database.run("CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION tell()")
    database.run(f"ALTER DATABASE {database.name} SET logical_decoding_work_mem = '64kB'")
    narrow = {"max_message_bytes": str(NARROW)}
    return World(database, new_topic(3, **narrow), new_topic(2, **narrow), slot, launch, wait_until)


def small(world: World, name: str) -> None:
    """Insert, update, rename and delete a few rows: some alone, some in one transaction, one too large for the topic."""
    run = world.database.run
    for number in range(8):
        run("INSERT INTO item VALUES (%s)", f"{name}-{number}")
    run("UPDATE item SET id = %s, n = nextval('version') WHERE id = %s", f"{name}-moved", f"{name}-0")
    with world.database.connection.transaction():
        run("INSERT INTO item (id, pad) VALUES (%s, %s)", f"{name}-wide", os.urandom(15_000).hex())
        run(f"INSERT INTO item SELECT '{name}-' || i FROM generate_series(10, 29) i")  # noqa: S608  # names of ours
        run(f"UPDATE item SET n = nextval('version') WHERE id LIKE '{name}-1%'")  # noqa: S608
        run("DELETE FROM item WHERE id = %s", f"{name}-11")
        run("UPDATE item SET id = %s, n = nextval('version') WHERE id = %s", f"{name}-11", f"{name}-12")
        run("UPDATE item SET n = nextval('version') WHERE id = %s", f"{name}-11")
    run("DELETE FROM item WHERE id = %s", f"{name}-3")


def large(world: World, name: str) -> None:
    """Insert 2,000 rows in one transaction, and as many again behind a savepoint that is rolled back; change some."""
    rows = "INSERT INTO item (id, pad) SELECT '{}-' || i, repeat('x', 300) FROM generate_series({}, {}) i"
    run = world.database.run
    with world.database.connection.transaction():
        run(rows.format(name, 1, 1000))
        run("SAVEPOINT s")
        run(rows.format(name, 2001, 3000))
        run(f"DELETE FROM item WHERE id LIKE '{name}-1%'")  # noqa: S608  # names of ours
        run("ROLLBACK TO s")
        run(rows.format(name, 1001, 2000))
        run(f"UPDATE item SET id = id || 'x', n = nextval('version') WHERE id LIKE '{name}-19%'")  # noqa: S608
        run(f"DELETE FROM item WHERE id LIKE '{name}-18%'")  # noqa: S608


def touch(world: World, decade: str) -> None:
    """Update, rename and delete rows that were there from the beginning."""
    run = world.database.run
    run("UPDATE item SET n = nextval('version') WHERE id LIKE %s", f"old{decade}%")
    run("UPDATE item SET id = id || 'x', n = nextval('version') WHERE id = %s", f"old{decade}4")
    run("DELETE FROM item WHERE id = %s", f"old{decade}5")


def judge(world: World, *, read: bool) -> None:
    """Compare topics and database; `read` says whether the first rows were to be read, each once unless it changed."""
    carried, told, rows = world.carried(), world.told(), world.rows()
    first = {f"old{number:03}": number for number in range(1, OLD_ROWS + 1)}
    for key in carried.keys() | told.keys() | (first if read else {}):
        records = carried.get(key, [])
        streamed = [record for record in records if record.operation != "r"]
        assert streamed == told.get(key, []), key
        reads = [record for record in records if record.operation == "r"]
        if key not in told:
            assert [record.n for record in reads] == ([first[key]] if read else []), key
        assert read or not reads
        newest = 0
        for record in records:
            assert record.operation in ("d", "tombstone") or (record.n or 0) >= newest, (key, records)
            newest = record.n or newest
        last = (records[-1].n, records[-1].digest) if records[-1].n is not None else None
        assert last == rows.get(key), (key, records)


@pytest.mark.parametrize(("server", "point", "count"), cases("changes"), indirect=["server"])
def test_a_kill_while_changes_stream(world: World, point: Failpoint, count: int) -> None:
    """Small and large transactions, a rolled-back savepoint, moved keys and dead letters: each change once, in order."""
    world.database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", world.slot)
    small(world, "a")
    large(world, "b")
    small(world, "c")
    world.dies(f"{point.value}:{count}", stops=CASES[point].stops)
    small(world, "d")
    touch(world, "01")
    world.recovers()
    judge(world, read=False)


@pytest.mark.parametrize(("server", "point", "count"), cases("snapshot"), indirect=["server"])
def test_a_kill_in_the_initial_snapshot(world: World, point: Failpoint, count: int) -> None:
    """What changes while no engine runs comes too; each row that was there comes once, and no slot is left over."""
    if first := CASES[point].first:
        world.dies(first)
        small(world, "a")
        touch(world, "01")
    world.dies(f"{point.value}:{count}")
    small(world, "b")
    touch(world, "02")
    world.recovers()
    judge(world, read=True)
    slots = world.database.run("SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database()")
    assert slots == [(world.slot,)]


@pytest.mark.parametrize(("server", "point", "count"), cases("chunks"), indirect=["server"])
def test_a_kill_in_an_incremental_snapshot(world: World, point: Failpoint, count: int) -> None:
    """Rows asked for while changes flow: those that did not change come once, the others as the stream knows them."""
    world.database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", world.slot)
    request = encode(Request("r1", world.slot, TableName("public", "item")))
    world.database.run("SELECT pg_logical_emit_message(false, %s, %s)", PREFIX, request)
    small(world, "a")
    touch(world, "01")
    world.dies(f"{point.value}:{count}")
    touch(world, "02")
    touch(world, "20")
    world.recovers()
    judge(world, read=True)
