"""Incremental snapshots on real servers: under load, killed, filtered, cancelled, refused. The table is the judge."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import psycopg
import pytest

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(headwater_cdc) -> Ask:
    """Run `headwater cdc snapshot …`."""
    return partial(headwater_cdc, "snapshot")


def state_of(topic: Any) -> dict[str, dict[str, Any]]:
    """Return the last value of each key, without what names the operation and the reading; the deleted left out."""
    last: dict[str, Any] = {}
    for record in topic.records():
        last[record.key] = record.fields
    return {
        key: {name: value for name, value in fields.items() if not name.startswith("__")}
        for key, fields in last.items()
        if fields is not None and fields["__deleted"] == "false"
    }


def test_rows_come_as_r_while_changes_flow(database, topic, launch, ask: Ask) -> None:
    """Rows from before the engine, which it was told not to read, are sent when asked for, in one go."""
    with database.connection.transaction():
        database.insert(*(f"old{number:05}" for number in range(3000)))
    engine = launch(CDC_SNAPSHOT_MODE="never")
    engine.wait_for("streaming")
    database.insert("new")
    code, document = ask("public.event_headers")
    assert code == 0, (document, engine.log)
    assert document["table"] == "public.event_headers"
    assert (document["rows"], document["state"]) == (3001, "done")
    assert document["rows_per_second"] > 0
    operations = Counter((record.key, record.operation) for record in topic.records())
    assert set(operations.values()) == {1}
    assert sum(operation == "r" for _, operation in operations) == 3001
    assert ("new", "c") in operations
    assert engine.stop() == 0


class Writers:
    """Threads that insert, update, rename and delete rows of their own, each change with a version of its own."""

    def __init__(self, database: Any, rows: int, count: int = 3) -> None:
        self._database = database
        self._rows = rows
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number, count)) for number in range(count)]
        self.failure: BaseException | None = None
        self.changed: set[str] = set()

    def _write(self, number: int, count: int) -> None:
        chance = random.Random(number)
        try:
            with psycopg.connect(self._database.url, autocommit=True) as connection:
                version = 0
                while not self._ended.wait(0.002):
                    version += 1
                    key = f"old{chance.randrange(self._rows) // count * count + number:05}"
                    self.changed.add(key)
                    with connection.transaction():
                        self._change(connection, chance.random(), key, f"{number}-{version:08}")
        except BaseException as error:
            self.failure = error
            raise

    def _change(self, connection: psycopg.Connection[Any], kind: float, key: str, version: str) -> None:
        if kind < 0.5:
            connection.execute("UPDATE event_headers SET event_name = %s WHERE id = %s", (version, key))
        elif kind < 0.6:
            connection.execute("DELETE FROM event_headers WHERE id = %s", (key,))
        elif kind < 0.7:
            other = f"{key}-{version}"
            self.changed.add(other)
            connection.execute("UPDATE event_headers SET id = %s, event_name = %s WHERE id = %s", (other, version, key))
        else:
            connection.execute(
                "INSERT INTO business_events VALUES (%s, 'x', NULL, NULL, NULL, '{}') ON CONFLICT DO NOTHING", (key,)
            )
            connection.execute(
                "INSERT INTO event_headers VALUES (%s, %s, NULL, NULL, NULL, '{}')"
                " ON CONFLICT (id) DO UPDATE SET event_name = excluded.event_name",
                (key, version),
            )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert self.failure is None


def assert_versions_grow(topic: Any) -> None:
    """Every key's records bear versions that never go back, from whichever way they came."""
    seen: dict[str, str] = {}
    for record in topic.records():
        version = (record.fields or {}).get("event_name")
        if version is not None and "-" in version:
            assert version >= seen.get(record.key, ""), f"{record.key}: {version} after {seen[record.key]}"
            seen[record.key] = version
        elif version is not None:
            assert record.key not in seen, f"{record.key}: the first version after {seen[record.key]}"


@pytest.mark.slow
def test_a_snapshot_killed_again_and_again_under_load_ends_as_the_table(
    database, topic, launch, slot, ask: Ask, wait_until
) -> None:
    """20,000 rows, three writers, kill -9 five times: no key lost, repeated without a change, or set back."""
    database.run("ALTER TABLE event_headers DROP CONSTRAINT fk_event_headers_business_events")
    with database.connection.transaction():
        database.insert(*(f"old{number:05}" for number in range(20_000)), data='{"text": "' + "x" * 1500 + '"}')
    chance = random.Random(database.url)
    tight = {"CDC_SNAPSHOT_MODE": "never", "CDC_MAX_IN_FLIGHT_RECORDS": "500"}
    engines = [launch(**tight)]

    def ended() -> list[dict[str, Any]]:
        return [event for engine in engines for event in engine.events("snapshot_ended")]

    engines[-1].wait_for("streaming")
    with Writers(database, 20_000) as writers:
        code, asked = ask("event_headers", "--no-wait")
        assert code == 0
        kills = 0
        while kills < 5 and not ended():
            wait_until(lambda: engines[-1].events("snapshot_job") or ended(), "the job is at work", 60)
            threading.Event().wait(chance.uniform(0.02, 0.4))
            engines[-1].kill()
            kills += 1
            engines.append(launch(**tight))
        wait_until(ended, "the end of the snapshot", 60)
    assert {(each["request"], each["outcome"]) for each in ended()} == {(asked["request"], "done")}
    engines[-1].wait_for("streaming")
    assert kills > 1, "no kill hit the snapshot"
    wait_until(lambda: database.confirmed(slot) >= database.wal_end(), "everything confirmed")
    read = Counter(record.key for record in topic.records() if record.operation == "r")
    assert {key for key, times in read.items() if times > 1} <= writers.changed
    columns = ("id", "event_name", "event_type")
    table = {row[0]: row for row in database.run("SELECT id, event_name, event_type FROM event_headers")}
    assert {key: tuple(fields[name] for name in columns) for key, fields in state_of(topic).items()} == table
    assert_versions_grow(topic)


def test_a_commit_that_others_cannot_see_yet_is_not_set_back(
    database, topic, launch, ask: Ask, server, wait_until
) -> None:
    """A change that waits for a standby is streamed before any snapshot sees it: the row waits too."""
    database.run("SET synchronous_commit = local")
    database.insert("a", "b")
    engine = launch(CDC_SNAPSHOT_MODE="never")
    engine.wait_for("streaming")
    database.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    database.run("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: database.run("SHOW synchronous_standby_names")[0][0] == "nobody", "the setting")
        with psycopg.connect(database.url, autocommit=True) as waiting:
            update = threading.Thread(
                target=lambda: waiting.execute("UPDATE event_headers SET event_name = 'new' WHERE id = 'a'")
            )
            update.start()
            wait_until(lambda: topic.of("a"), "the change is streamed")
            assert database.run("SELECT event_name FROM event_headers WHERE id = 'a'") == [("Car Created",)]
            code, _ = ask("event_headers", "--no-wait")
            assert code == 0
            engine.wait_for("snapshot_waits")
            assert [record.operation for record in topic.records()] == ["u"]
            database.run("ALTER SYSTEM RESET synchronous_standby_names")
            database.run("SELECT pg_reload_conf()")
            update.join()
        engine.wait_for("snapshot_ended")
    finally:
        database.run("ALTER SYSTEM RESET synchronous_standby_names")
        database.run("SELECT pg_reload_conf()")
    names = {record.key: record.fields["event_name"] for record in topic.records()}
    assert names == {"a": "new", "b": "Car Created"}
    assert {record.fields["event_name"] for record in topic.of("a")} == {"new"}
