"""What the failpoints' tests share: a table whose every change is written down, and engines that die on the way.

The database is the judge: a trigger writes each change of a row down within the change's own transaction, so that
what is rolled back is not there.
"""

import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import md5
from itertools import count, groupby
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import pytest

from cdc.letters.letterbox import load, scan
from cdc.letters.scan import StoredRecord, read_topics
from cdc.lsn import Position
from cdc.records import POSITION

NARROW = 20_000
"""Bytes that a record of the topic may have, and a dead letter too."""
FIRST_ROWS = 250
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
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION tell();
CREATE PUBLICATION items FOR TABLE item
"""


class Seen(NamedTuple):
    """One record of a key: what happened, the row's version, and the digest of its text."""

    operation: str
    n: int | None = None
    digest: str | None = None

    @classmethod
    def of(cls, value: bytes | None) -> "Seen":
        """Return what a record says."""
        if value is None:
            return cls("tombstone")
        fields = json.loads(value)
        if fields["__op"] == "d":
            return cls("d")
        return cls(fields["__op"], fields["n"], md5(fields["pad"].encode(), usedforsecurity=False).hexdigest())


@dataclass
class World:
    """A table, its topic and its dead-letter topic, both narrow, and the engines that carry the changes there."""

    database: Any
    topic: Any
    letters: Any
    slot: str
    launch: Callable[..., Any]
    wait_until: Callable[..., Any]

    def __post_init__(self) -> None:
        """Begin with rows that nobody has written down."""
        self._numbers = count()
        self.run("TRUNCATE item, told")
        self.run("INSERT INTO item SELECT 'old' || to_char(i, 'FM000'), -i FROM generate_series(1, %s) i", FIRST_ROWS)
        self.run("TRUNCATE told")

    def run(self, statement: str, *values: object) -> Any:
        """Execute a statement."""
        return self.database.run(statement, *values)

    def small(self, name: str) -> None:
        """Insert, update, move and delete a few rows, alone and in one transaction; one is too large for the topic."""
        for number in range(8):
            self.run("INSERT INTO item VALUES (%s)", f"{name}-{number}")
        self.run("UPDATE item SET id = id || 'x', n = nextval('version') WHERE id = %s", f"{name}-0")
        with self.database.connection.transaction():
            self.run("INSERT INTO item (id, pad) VALUES (%s, %s)", f"{name}-wide", os.urandom(15_000).hex())
            self.run("INSERT INTO item SELECT concat(%s::text, i) FROM generate_series(10, 29) i", f"{name}-")
            self.run("UPDATE item SET n = nextval('version') WHERE id LIKE %s", f"{name}-1%")
            self.run("DELETE FROM item WHERE id = %s", f"{name}-11")
            # A key that comes back, as another row.
            self.run("UPDATE item SET id = %s, n = nextval('version') WHERE id = %s", f"{name}-11", f"{name}-12")
            self.run("UPDATE item SET n = nextval('version') WHERE id = %s", f"{name}-11")
        self.run("DELETE FROM item WHERE id = %s", f"{name}-3")

    def large(self, name: str) -> None:
        """Insert 2,000 rows in one transaction, and half as many that are rolled back to a savepoint; change some."""
        rows = """
            INSERT INTO item (id, pad)
            SELECT concat(%s::text, i), repeat('x', 300) FROM generate_series(%s::int, %s::int) i
        """
        with self.database.connection.transaction():
            self.run(rows, f"{name}-", 1, 1000)
            self.run("SAVEPOINT s")
            self.run(rows, f"{name}-", 2001, 3000)
            self.run("DELETE FROM item WHERE id LIKE %s", f"{name}-1%")
            self.run("ROLLBACK TO s")
            self.run(rows, f"{name}-", 1001, 2000)
            self.run("UPDATE item SET id = id || 'x', n = nextval('version') WHERE id LIKE %s", f"{name}-19%")
            self.run("DELETE FROM item WHERE id LIKE %s", f"{name}-18%")

    def touch(self, decade: str) -> None:
        """Update, move and delete rows that were there from the beginning."""
        self.run("UPDATE item SET n = nextval('version') WHERE id LIKE %s", f"old{decade}%")
        self.run("UPDATE item SET id = id || 'x', n = nextval('version') WHERE id = %s", f"old{decade}4")
        self.run("DELETE FROM item WHERE id = %s", f"old{decade}5")

    def dies(self, failpoint: str, *, trickle: bool = True, stops: bool = False, linger: int = 0) -> None:
        """Launch an engine and let it die at a failpoint, by itself or, with `stops`, on its orderly stop.

        With `trickle` a row is inserted every now and then, as long as it lives; `linger` is its CDC_LINGER_MS.
        """
        engine = self._engine(failpoint, CDC_LINGER_MS=str(linger))
        if stops:
            engine.wait_for("streaming")
            self.wait_until(lambda: len(self._stored(self.topic)) > 100, "records")
            engine.process.terminate()

        def dead() -> bool:
            if trickle:
                self.run("INSERT INTO item VALUES (%s)", f"live{next(self._numbers)}")
            return engine.process.poll() is not None

        self.wait_until(dead, f"{failpoint} is reached")
        assert engine.exit_code() == -signal.SIGKILL, engine.log
        name = failpoint.partition(":")[0]
        for event in ("failpoint_armed", "failpoint_reached"):
            assert [each["failpoint"] for each in engine.events(event)] == [name], engine.log

    def recovers(self, until: str = "streaming") -> None:
        """Launch an engine that nobody kills; wait for what its log is to say and until everything is confirmed.

        It is stopped in order.
        """
        engine = self._engine("")
        engine.wait_for(until)
        end = self.database.wal_end()
        self.wait_until(lambda: self.database.confirmed(self.slot) >= end, "everything confirmed")
        assert engine.stop() == 0
        assert not engine.events("failpoint_armed")

    def judge(self, *, read: Literal["nothing", "old", "any"]) -> None:
        """Compare topics and database, change by change: streamed records are the changes, and only they.

        Of the rows that were there from the beginning each was to be read once, unless it changed or `read` says that
        none was; other rows may have been read only where it says `any`. Whatever was read, no record of a key is
        older than one before it, and the last one is as the table has it.
        """
        carried, told = self._carried(), self._told()
        rows = {key: (n, digest) for key, n, digest in self.run("SELECT id, n, md5(pad) FROM item")}
        first = {f"old{number:03}": -number for number in range(1, FIRST_ROWS + 1)}
        for key in carried.keys() | told.keys() | first.keys():
            records, changes = carried.get(key, []), told.get(key, [])
            assert [record for record in records if record.operation != "r"] == changes, key
            reads = [record.n for record in records if record.operation == "r"]
            if read == "nothing" or (read == "old" and key not in first):
                assert reads == [], key
            elif not changes:
                assert reads == [first[key]], key
            else:
                assert len(reads) <= 1, key
            versions = [record.n for record in records if record.n is not None]
            assert versions == sorted(versions), (key, records)
            if records:
                last = records[-1]
                assert (None if last.n is None else (last.n, last.digest)) == rows.get(key), (key, records)

    def _engine(self, failpoint: str, **environment: str) -> Any:
        return self.launch(
            CDC_TABLES="public.item",
            PUBLICATION_NAME="items",
            SLOT_NAME=self.slot,
            CDC_TOPIC=self.topic.name,
            CDC_DEAD_LETTER_TOPIC=self.letters.name,
            CDC_STREAM_MEMORY_BYTES="65536",
            CDC_FAILPOINT=failpoint,
            **environment,
        )

    def _stored(self, topic: Any) -> list[StoredRecord]:
        found: list[StoredRecord] = []
        read_topics(topic.bootstrap, {}, [topic.name], found.append)
        return found

    def _carried(self) -> dict[str, list[Seen]]:
        """Return the records of each key in order, those that became letters among them; none may be there twice."""
        own = [(each.partition, Position.decode(each.headers[POSITION]), each) for each in self._stored(self.topic)]
        own.sort(key=lambda each: each[0])
        for _, partition in groupby(own, lambda each: each[0]):
            positions = [position for _, position, _ in partition]
            assert positions == sorted(set(positions))
        placed = [(position, json.loads(each.key or b"")["id"], Seen.of(each.value)) for _, position, each in own]
        letters = scan(self.letters.bootstrap, {}, [self.letters.name]).letters
        whole = [each for each in self._stored(self.letters) if POSITION in each.headers]
        assert len(letters) == len(whole) > 0
        for letter in letters:
            content = load(self.letters.bootstrap, {}, letter)
            placed.append((letter.position, json.loads(content.key)["id"], Seen.of(content.value)))
        found = defaultdict(list)
        for _, key, what in sorted(placed, key=lambda each: each[0]):
            found[key].append(what)
        return found

    def _told(self) -> dict[str, list[Seen]]:
        """Return what the database says that happened to each key."""
        found = defaultdict(list)
        for operation, before, key, n, digest in self.run("SELECT op, before, id, n, digest FROM told ORDER BY at"):
            if operation == "d" or (operation == "u" and before != key):
                found[before] += [Seen("d"), Seen("tombstone")]
            if operation != "d":
                found[key].append(Seen("u" if before == key else "c", n, digest))
        return found


@pytest.fixture(scope="module")
def shared_database(server: Any, database_of: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    """One database for all of a server's cases: each has a slot of its own, which knows nothing of what was before."""
    with database_of(server) as made:
        made.run(SCHEMA)
        made.run(f"ALTER DATABASE {made.name} SET logical_decoding_work_mem = '64kB'")
        yield made


@pytest.fixture
def database(shared_database: Any, wait_until: Callable[..., Any]) -> Iterator[Any]:
    """The shared database, without slots afterwards."""
    yield shared_database
    slots = "FROM pg_replication_slots WHERE database = current_database()"
    wait_until(lambda: not shared_database.run(f"SELECT 1 {slots} AND active"), "nobody reads a slot")
    shared_database.run(f"SELECT pg_drop_replication_slot(slot_name) {slots}")


@pytest.fixture
def topic(new_topic: Callable[..., Any]) -> Any:
    """A topic that takes no large record."""
    return new_topic(3, max_message_bytes=str(NARROW))


@pytest.fixture
def world(database, topic, new_topic, launch, wait_until) -> World:
    """A world of the case's own but for the database."""
    letters = new_topic(2, max_message_bytes=str(NARROW))
    return World(database, topic, letters, f"s_{uuid4().hex[:12]}", launch, wait_until)
