"""What the tests of shards share: a table whose every change is written down, writers, and the comparison with a topic.

The database is the judge: a trigger writes each change of a row down within the change's own transaction.
"""

import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from cdc.lsn import Position
from cdc.records import POSITION, SOURCE
from cdc.shards.names import WHOLE_GENERATION, Generation, Part
from cdc.shards.store import read_seen

SCHEMA = """
CREATE SEQUENCE version;
CREATE TABLE item (id text, kind int, n bigint NOT NULL DEFAULT nextval('version'), pad text, PRIMARY KEY (kind, id));
CREATE TABLE told (at bigserial, op text, before text, after text, n bigint);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN INSERT INTO told (op, before) VALUES ('d', OLD.kind || '/' || OLD.id);
    ELSIF TG_OP = 'INSERT' THEN INSERT INTO told (op, after, n) VALUES ('c', NEW.kind || '/' || NEW.id, NEW.n);
    ELSE INSERT INTO told (op, before, after, n)
         VALUES ('u', OLD.kind || '/' || OLD.id, NEW.kind || '/' || NEW.id, NEW.n);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION tell();
CREATE PUBLICATION items FOR TABLE item
"""
KEYS = 40
PAUSE_S = 0.002


@dataclass
class World:
    """A table, its topic, and the engines that carry its changes there."""

    database: Any
    topic: Any
    slot: str
    launch: Callable[..., Any]
    wait_until: Callable[..., Any]
    written: int = 0
    troubles: list[BaseException] = field(default_factory=list)

    def run(self, statement: str, *values: object) -> Any:
        """Execute a statement."""
        return self.database.run(statement, *values)

    def engine(self, shards: int, **environment: str) -> Any:
        """Launch an engine of so many shards."""
        given = {"CDC_TABLES": "public.item", "PUBLICATION_NAME": "items", "SLOT_NAME": self.slot}
        return self.launch(**given, CDC_SHARDS=str(shards), CDC_READY_SECONDS="2", **environment)

    def generation(self) -> Generation | None:
        """Return the generation whose slots are all there and all read, if it is the only one."""
        seen = read_seen(self.database.connection, self.slot)
        found = {each.part.generation for each in seen}
        if len(found) != 1:
            return None
        (only,) = found
        whole = len(seen) == only.shards and all(each.pid is not None for each in seen)
        return only if whole else None

    def streams(self, shards: int, after: Generation | None = None) -> Generation:
        """Wait until a generation of so many shards, none that was there `after`, has confirmed all that is written."""

        def there() -> Generation | None:
            found = self.generation()
            return found if found is not None and found.shards == shards and found != after else None

        found: Generation = self.wait_until(there, f"{shards} shards", 60)
        return found

    def caught_up(self) -> None:
        """Wait until every slot has confirmed what is written now."""
        end = self.database.wal_end()
        self.wait_until(
            lambda: (
                self.generation() is not None
                and all((each.confirmed or 0) >= end for each in read_seen(self.database.connection, self.slot))
            ),
            "everything confirmed",
            60,
        )

    def write(self, random: random.Random, connection: Any) -> None:
        """Change rows in one transaction: insert, update, move between keys, delete."""
        with connection.transaction():
            for _ in range(random.choice((1, 1, 3))):
                kind, name = random.randrange(3), f"k{random.randrange(KEYS)}"
                what = random.random()
                if what < 0.5:
                    statement = (
                        "INSERT INTO item (id, kind) VALUES (%s, %s)"
                        " ON CONFLICT (kind, id) DO UPDATE SET n = nextval('version')"
                    )
                    connection.execute(statement, (name, kind))
                elif what < 0.8:
                    other = f"k{random.randrange(KEYS)}"
                    connection.execute(
                        "UPDATE item SET id = %s, n = nextval('version') WHERE (kind, id) = (%s, %s)"
                        " AND NOT EXISTS (SELECT FROM item WHERE (kind, id) = (%s, %s))",
                        (other, kind, name, kind, other),
                    )
                else:
                    connection.execute("DELETE FROM item WHERE (kind, id) = (%s, %s)", (kind, name))
        self.written += 1

    @contextmanager
    def load(self, seed: int = 7) -> Iterator[None]:
        """Write all the time, while the block runs."""
        ended = threading.Event()

        def writing() -> None:
            rolls = random.Random(seed)
            try:
                with psycopg.connect(self.database.url, autocommit=True) as connection:
                    while not ended.wait(PAUSE_S):
                        self.write(rolls, connection)
            except BaseException as error:  # noqa: BLE001  # said where the test sees it
                self.troubles.append(error)

        writer = threading.Thread(target=writing, daemon=True)
        writer.start()
        try:
            yield
        finally:
            ended.set()
            writer.join(30)
        assert not self.troubles, self.troubles

    def goes_on(self, transactions: int = 50) -> None:
        """Wait until so many more transactions were written."""
        until = self.written + transactions
        self.wait_until(lambda: self.written >= until or self.troubles, "writers write")

    def judge(self) -> int:
        """Compare topic and database: each key has exactly its changes, in their order; return how many there are."""
        carried, placed = defaultdict(list), defaultdict(list)
        for record in self.topic.records():
            key = json.loads(record.raw_key)
            fields = record.fields or {}
            what = (record.operation, fields.get("n") if record.operation in "cu" else None)
            carried[f"{key['kind']}/{key['id']}"].append(what)
            placed[record.partition, record.headers[SOURCE]].append(Position.decode(record.headers[POSITION]))
        told = self.told()
        assert {key: carried[key] for key in carried if carried[key] != told.get(key)} == {}
        assert carried.keys() == told.keys()
        for positions in placed.values():
            assert positions == sorted(set(positions))
        return sum(map(len, carried.values()))

    def told(self) -> dict[str, list[tuple[str, int | None]]]:
        """Return what the database says that happened to each key."""
        found = defaultdict(list)
        for operation, before, after, n in self.database.run("SELECT op, before, after, n FROM told ORDER BY at"):
            if operation == "d" or (operation == "u" and before != after):
                found[before] += [("d", None), ("tombstone", None)]
            if operation != "d":
                found[after].append(("u" if before == after else "c", n))
        return found

    def sources(self) -> set[Part]:
        """Return the shards that have written."""
        return {Part.of_source(record.headers[SOURCE]) for record in self.topic.records()}

    def tidy(self) -> None:
        """See that nothing is left over: one generation of slots, and publications for it alone."""
        generation = self.generation()
        assert generation is not None
        names = self.database.run("SELECT pubname::text FROM pg_publication WHERE pubname LIKE 'items\\_%%'")
        own = set() if generation == WHOLE_GENERATION else {each.publication("items") for each in generation.parts}
        assert {name for (name,) in names} == own


@pytest.fixture
def world(database, topic, slot, launch, wait_until) -> World:
    """A world of the test's own, with the slot of the whole: every change from here on is to be carried as one."""
    database.run(SCHEMA)
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    return World(database, topic, slot, launch, wait_until)
