"""Every type, identity, kind of table and name of PostgreSQL reaches the topic in its one form, on every version.

The forms are those that Debezium 3.7.0 with the settings named in `cdc.values` gave for the same rows. Where it gives
none, or another value than the row's, docs/conformance.md says so.
"""

import json
from typing import Any

import psycopg
import pytest

from tests.integration.cdc.forms import FORMS, MADE, OPTIONAL

PUBLICATION = "event_headers_debezium_publication"


def refusal(database: Any, statement: str) -> bool:
    """Try a statement; say whether the server refused it."""
    try:
        database.run(statement)
    except psycopg.Error:
        return True
    return False


def offered(database: Any) -> list[tuple[str, str, Any]]:
    """Make the types, and return what this server can store."""
    for statement in MADE:
        database.run(statement)
    for extension in ("citext", "hstore"):
        refusal(database, f"CREATE EXTENSION {extension}")
    return [*FORMS, *(form for form in OPTIONAL if not refusal(database, f"SELECT {form[1]}::{form[0]}"))]


def publish(database: Any, table: str) -> None:
    """Add a table to the publication."""
    database.run(f"ALTER PUBLICATION {PUBLICATION} ADD TABLE {table}")


def stored(topic: Any, count: int) -> Any:
    """Return a condition: so many records, then the records."""

    def there() -> Any:
        found = topic.records()
        return sorted(found, key=position) if len(found) >= count else None

    return there


def position(record: Any) -> tuple[int, int]:
    """Return a record's place in the stream."""
    high, low, ordinal = record.headers["cdc.position"].decode().split("/")
    return int(high, 16) << 32 | int(low, 16), int(ordinal)


def test_every_type_has_its_form_in_snapshot_and_stream(database, topic, launch, wait_until) -> None:
    """The emitted record is the table of expected values, field by field; a null is null in every type."""
    forms = offered(database)
    columns = ", ".join(f"c{number} {form[0]}" for number, form in enumerate(forms))
    database.run(f"CREATE TABLE typed (id text PRIMARY KEY, {columns})")
    publish(database, "typed")
    for name, value in (("timezone", "Asia/Tokyo"), ("intervalstyle", "iso_8601"), ("extra_float_digits", "-5")):
        database.run(f"ALTER DATABASE {database.name} SET {name} TO '{value}'")
    values = ", ".join(f"CAST({form[1]} AS {form[0]})" for form in forms)
    nulls = ", ".join(["NULL"] * len(forms))
    insert = f"INSERT INTO typed VALUES ('%s', {values}), ('null-%s', {nulls})"  # noqa: S608  # of this file's texts
    database.run(insert % ("read", "read"))
    launch(CDC_TABLES="public.typed").wait_for("streaming")
    database.run(insert % ("made", "made"))
    records = {record.key: record for record in wait_until(stored(topic, 4), "four records")}

    def fields(key: str) -> list[tuple[str, str, Any]]:
        record = records[key].fields
        return [(name, text, record[f"c{number}"]) for number, (name, text, _) in enumerate(forms)]

    assert fields("made") == forms
    assert fields("read") == forms
    assert {value for key in ("null-made", "null-read") for _, _, value in fields(key)} == {None}


def test_types_made_while_streaming_need_no_restart(database, topic, launch, wait_until) -> None:
    """Domains, enums and their arrays made in the stream have the form that they have after a restart."""
    database.run("CREATE TABLE late (id text PRIMARY KEY)")
    publish(database, "late")
    engine = launch(CDC_TABLES="public.late")
    engine.wait_for("streaming")
    database.run("CREATE DOMAIN cents AS numeric(10,2)")
    database.run("CREATE TYPE hue AS ENUM ('red', 'deep blue')")
    database.run("ALTER TABLE late ADD d cents, ADD e hue, ADD es hue[], ADD b bit(1)")
    insert = "INSERT INTO late VALUES ('{}', 'NaN', 'red', '{{red,deep blue,NULL}}', B'1')"
    database.run(insert.format("before"))
    wait_until(stored(topic, 1), "one record")
    assert engine.stop() == 0
    launch(CDC_TABLES="public.late").wait_for("streaming")
    database.run(insert.format("after"))
    before, after = wait_until(stored(topic, 2), "two records")
    expected = {"d": "NAN", "e": "red", "es": ["red", "deep blue", None], "b": True}
    assert {name: before.fields[name] for name in expected} == expected
    assert {name: after.fields[name] for name in expected} == expected


IDENTITIES = {
    "default": ("id int PRIMARY KEY, u text NOT NULL UNIQUE", "DEFAULT", "id", ["id"]),
    "full": ("id int PRIMARY KEY, u text NOT NULL UNIQUE", "FULL", "id", ["id", "u", "n"]),
    "index": ("id int PRIMARY KEY, u text NOT NULL UNIQUE", "USING INDEX t_u_key", "u", ["u"]),
    "full without a key": ("id int, u text", "FULL", None, ["id", "u", "n"]),
}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_every_identity_says_what_it_knows(database, topic, launch, wait_until, identity) -> None:
    """Insert, update, change of key, deletion: keys, tombstones, and of the old row what the server keeps of it."""
    columns, clause, key, kept = IDENTITIES[identity]
    database.run(f"CREATE TABLE t ({columns}, n numeric)")
    database.run(f"ALTER TABLE t REPLICA IDENTITY {clause}")
    publish(database, "t")
    launch(CDC_TABLES="public.t").wait_for("streaming")
    database.run("INSERT INTO t VALUES (1, 'a', 1.50)")
    database.run("UPDATE t SET n = 'NaN'")
    database.run("UPDATE t SET id = 2, u = 'b'")
    database.run("DELETE FROM t")
    rows = [(1, "a", "1.50"), (1, "a", "NAN"), (2, "b", "NAN")]
    states = [dict(zip(("id", "u", "n"), row, strict=True)) for row in rows]

    def key_of(state: dict[str, Any]) -> dict[str, Any]:
        return {key: state[key]} if key else state

    def old(state: dict[str, Any]) -> dict[str, Any]:
        return {name: value if name in kept else None for name, value in state.items()}

    first, second, third = states
    moved = [("d", key_of(second), old(second)), ("tombstone", key_of(second), None), ("c", key_of(third), third)]
    updated = [("u", key_of(second), second)]
    if key is None:
        # Every column is the key, so every update is a change of key.
        updated = [("d", key_of(first), first), ("tombstone", key_of(first), None), ("c", key_of(second), second)]
    gone = [("d", key_of(third), old(third)), ("tombstone", key_of(third), None)]
    expected = [("c", key_of(first), first), *updated, *moved, *gone]
    records = wait_until(stored(topic, len(expected)), "all records")
    assert [told(record) for record in records] == expected


def told(record: Any) -> tuple[str, Any, Any]:
    """Return operation, key and row of a record."""
    fields = record.fields
    row = None if fields is None else {name: value for name, value in fields.items() if not name.startswith("__")}
    return record.operation, json.loads(record.raw_key), row


@pytest.mark.parametrize(("columns", "key"), [("id int PRIMARY KEY, u text", ["id"]), ("id int, u text", ["id", "u"])])
def test_inserts_without_an_identity_are_captured(database, topic, launch, wait_until, columns, key) -> None:
    """REPLICA IDENTITY NOTHING, or no key at all: the server refuses updates, the inserts are keyed all the same."""
    database.run(f"CREATE TABLE t ({columns})")
    database.run("ALTER TABLE t REPLICA IDENTITY NOTHING")
    publish(database, "t")
    engine = launch(CDC_TABLES="public.t")
    engine.wait_for("streaming")
    database.run("INSERT INTO t VALUES (1, 'a')")
    assert refusal(database, "UPDATE t SET u = 'b'")
    assert refusal(database, "DELETE FROM t")
    database.run("INSERT INTO t VALUES (2, NULL)")
    rows = [{"id": 1, "u": "a"}, {"id": 2, "u": None}]
    expected = [("c", {name: row[name] for name in key}, row) for row in rows]
    assert [told(record) for record in wait_until(stored(topic, 2), "two records")] == expected
    assert any("no replica identity" in finding["detail"] for finding in engine.events("finding"))


@pytest.mark.parametrize("by_root", [True, False])
def test_a_partitioned_table_is_captured_by_root_or_by_partition(database, topic, launch, wait_until, by_root) -> None:
    """`publish_via_partition_root` decides whose name a record bears; a row that moves is a change all the same."""
    database.run("CREATE TABLE p (id int, day int, n text, PRIMARY KEY (id, day)) PARTITION BY LIST (day)")
    for day in (1, 2):
        database.run(f"CREATE TABLE p{day} PARTITION OF p FOR VALUES IN ({day})")
    publish(database, "p")
    database.run(f"ALTER PUBLICATION {PUBLICATION} SET (publish_via_partition_root = {by_root})")
    database.run("INSERT INTO p VALUES (1, 1, 'read')")
    tables = "public.p" if by_root else "public.p1, public.p2"
    launch(CDC_TABLES=tables).wait_for("streaming")
    database.run("INSERT INTO p VALUES (2, 2, 'made')")
    database.run("UPDATE p SET day = 2 WHERE id = 1")
    records = wait_until(stored(topic, 5), "five records")
    seen = [
        (record.operation, json.loads(record.raw_key), record.fields and record.fields["__table"]) for record in records
    ]
    assert seen == [
        ("r", {"id": 1, "day": 1}, "p" if by_root else "p1"),
        ("c", {"id": 2, "day": 2}, "p" if by_root else "p2"),
        ("d", {"id": 1, "day": 1}, "p" if by_root else "p1"),
        ("tombstone", {"id": 1, "day": 1}, None),
        ("c", {"id": 1, "day": 2}, "p" if by_root else "p2"),
    ]


def test_a_table_without_columns_is_captured(database, topic, launch, wait_until) -> None:
    """PostgreSQL has such tables; their rows are empty records, and no reason to stop."""
    database.run("CREATE TABLE bare ()")
    publish(database, "bare")
    database.run("INSERT INTO bare DEFAULT VALUES")
    launch(CDC_TABLES="public.bare").wait_for("streaming")
    database.run("INSERT INTO bare DEFAULT VALUES")
    records = wait_until(stored(topic, 2), "two records")
    assert [told(record) for record in records] == [("r", {}, {}), ("c", {}, {})]


def test_names_are_taken_as_they_are(database, topic, launch, wait_until) -> None:
    """Dots, quotes, spaces, percent signs and letters of any script, in schema, table, column and type."""
    database.run('CREATE SCHEMA "Se . 列"')
    database.run('CREATE TABLE "Se . 列"."T""able.ü %s" ("I d" int PRIMARY KEY, "c""ol.%" text, "😀" numeric[])')
    publish(database, '"Se . 列"."T""able.ü %s"')
    insert = """INSERT INTO "Se . 列"."T""able.ü %s" VALUES ({}, 'x', '{{1.5}}')"""
    database.run(insert.format(1))
    launch(CDC_TABLES='"Se . 列"."T""able.ü %s"').wait_for("streaming")
    database.run(insert.format(2))
    records = wait_until(stored(topic, 2), "two records")
    assert [told(record) for record in records] == [
        (operation, {"I d": number}, {"I d": number, 'c"ol.%': "x", "😀": ["1.5"]})
        for number, operation in ((1, "r"), (2, "c"))
    ]
    assert {record.fields["__table"] for record in records} == {'T"able.ü %s'}


def test_generated_columns_are_the_same_in_snapshot_and_stream(database, topic, launch, wait_until) -> None:
    """What the stream leaves out, the snapshot does too."""
    database.run("CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, n text)")
    publish(database, "g")
    database.run("INSERT INTO g VALUES (1, DEFAULT, 'a')")
    launch(CDC_TABLES="public.g").wait_for("streaming")
    database.run("INSERT INTO g VALUES (2, DEFAULT, 'b')")
    records = wait_until(stored(topic, 2), "two records")
    assert [told(record) for record in records] == [
        ("r", {"id": 1}, {"id": 1, "n": "a"}),
        ("c", {"id": 2}, {"id": 2, "n": "b"}),
    ]


def test_untouched_toast_of_every_kind_is_left_out_and_listed(database, topic, launch, wait_until) -> None:
    """Text, bytes, arrays, JSON, domains: no placeholder; FULL fills them in their form, a change of key does not."""
    database.run("CREATE DOMAIN long AS text")
    large = {"t": "text", "b": "bytea", "a": "int4[]", "j": "jsonb", "l": "long"}
    columns = ", ".join(f"{name} {kind}" for name, kind in large.items())
    database.run(f"CREATE TABLE toasted (id int PRIMARY KEY, n int, {columns})")
    for name in large:
        database.run(f"ALTER TABLE toasted ALTER {name} SET STORAGE EXTERNAL")
    publish(database, "toasted")
    launch(CDC_TABLES="public.toasted").wait_for("streaming")
    text = "repeat('x', 9000)"
    numbers = "(SELECT array_agg(g) FROM generate_series(1, 5000) g)"
    values = f"1, 1, {text}, {text}::bytea, {numbers}, to_jsonb({text}), {text}"
    database.run(f"INSERT INTO toasted SELECT {values}")
    database.run("UPDATE toasted SET n = 2")
    database.run("UPDATE toasted SET id = 2")
    database.run("ALTER TABLE toasted REPLICA IDENTITY FULL")
    database.run("UPDATE toasted SET n = 3")
    created, left_out, _, _, moved, filled = wait_until(stored(topic, 6), "six records")
    for record in (left_out, moved):
        assert not large.keys() & record.fields.keys()
        assert json.loads(record.headers["cdc.unavailable"]) == list(large)
        assert b"unavailable" not in record.value
    assert {name: filled.fields[name] for name in large} == {name: created.fields[name] for name in large}
    assert filled.fields["a"] == list(range(1, 5001))
    assert "cdc.unavailable" not in filled.headers
