"""What a real server commits is what a real topic holds: operations, keys, order, values."""

import json
from collections.abc import Callable
from typing import Any

import pytest


def count(topic: Any, wanted: int) -> Callable[[], Any]:
    """Return a condition: the topic's records, once there are so many."""

    def reached() -> Any:
        records = topic.records()
        return records if len(records) >= wanted else None

    return reached


def test_insert_update_delete_and_tombstone(database, topic, launch, wait_until) -> None:
    """The life of one event is c, u, d and a tombstone in one partition, in order (CD-40 to CD-48, CD-112)."""
    launch().wait_for("streaming")
    database.insert("e1", data='{"a": "ü"}')
    database.run("UPDATE event_headers SET event_type = NULL WHERE id = 'e1'")
    database.run("DELETE FROM event_headers WHERE id = 'e1'")
    records = wait_until(count(topic, 4), "four records")
    assert [record.operation for record in records] == ["c", "u", "d", "tombstone"]
    assert len({record.partition for record in records}) == 1
    created = records[0].fields
    assert created is not None
    assert set(created) == {
        "id", "event_name", "event_type", "created_date", "saved_date", "header_data",
        "__deleted", "__op", "__table", "__ts_ms",
    }  # fmt: skip
    assert (created["header_data"], created["__table"], created["event_type"]) == (
        '{"a": "ü"}',
        "event_headers",
        "CarCreated",
    )
    assert records[1].fields["event_type"] is None
    assert records[2].fields["__deleted"] == "true"
    ((iso,),) = database.run("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI')")
    assert created["created_date"][:16] <= iso
    assert created["created_date"].endswith("Z")


def test_a_changed_key_moves_the_record(database, topic, launch, wait_until) -> None:
    """The old key ends in a tombstone; the new key begins as a `c`."""
    launch().wait_for("streaming")
    database.insert("old")
    database.run("INSERT INTO business_events SELECT 'new', event_name, NULL, NULL, NULL, '{}' FROM business_events")
    database.run("UPDATE event_headers SET id = 'new' WHERE id = 'old'")
    wait_until(count(topic, 4), "four records")
    assert [record.operation for record in topic.of("old")] == ["c", "d", "tombstone"]
    assert [record.operation for record in topic.of("new")] == ["c"]


def test_a_rolled_back_transaction_never_appears(database, topic, launch, wait_until) -> None:
    """Nor does a rolled-back part of one that committed (CD-111)."""
    launch().wait_for("streaming")
    with database.connection.transaction(force_rollback=True):
        database.insert("gone")
    with database.connection.transaction():
        database.insert("kept")
        with database.connection.transaction(force_rollback=True):
            database.insert("half")
    database.insert("last")
    records = wait_until(count(topic, 2), "two records")
    assert {record.key for record in records} == {"kept", "last"}


def test_order_is_kept_for_each_key(database, topic, launch, wait_until) -> None:
    """Fifty updates of each of five events arrive in the order of their commits (CD-112)."""
    launch().wait_for("streaming")
    database.insert(*"abcde")
    for number in range(50):
        for key in "abcde":
            database.run("UPDATE event_headers SET event_name = %s WHERE id = %s", str(number), key)
    wait_until(count(topic, 255), "all updates")
    for key in "abcde":
        names = [record.fields["event_name"] for record in topic.of(key)]
        assert names == ["Car Created", *map(str, range(50))]


HOSTILE = [
    "",
    '"; DROP TABLE event_headers; --',
    "quotes ' \" \\ and \n newline \t tab \x01 \x7f",
    "ü 列 😀 \u2028 \ufeff \u0301",
    "x" * 65_536,
    '{"json": "inside", "__op": "d"}',
]


@pytest.mark.parametrize("mode", ["stream", "snapshot"])
def test_hostile_values_are_delivered_byte_exact(database, topic, launch, wait_until, mode) -> None:
    """Empty, 64 KiB, quotes, newlines, SQL and JSON look-alikes, ids of 255 characters (CD-49, CD-117)."""
    ids = [f"{number}-{text}"[:255].ljust(255, "é") for number, text in enumerate(HOSTILE)]
    if mode == "stream":
        launch().wait_for("streaming")
    for key, text in zip(ids, HOSTILE, strict=True):
        database.insert(key, data=json.dumps({"text": text}, ensure_ascii=False))
    if mode == "snapshot":
        launch()
    records = {record.key: record for record in wait_until(count(topic, len(HOSTILE)), "all records")}
    stored = dict(database.run("SELECT id, header_data::text FROM event_headers"))
    assert {key: record.fields["header_data"] for key, record in records.items()} == stored
    assert [json.loads(stored[key])["text"] for key in ids] == HOSTILE


def test_a_column_added_in_the_stream_appears(database, topic, launch, wait_until) -> None:
    """The stream goes on, the new field is there from then on, also when the change is read later (CD-115)."""
    engine = launch()
    engine.wait_for("streaming")
    database.insert("before")
    database.run("ALTER TABLE event_headers ADD COLUMN note text")
    database.insert("after")
    database.run("UPDATE event_headers SET note = 'n' WHERE id = 'after'")
    wait_until(count(topic, 3), "three records")
    assert "note" not in topic.of("before")[0].fields
    assert [record.fields["note"] for record in topic.of("after")] == [None, "n"]
    assert engine.stop() == 0


def test_untouched_toast_is_never_falsified(database, topic, launch, wait_until) -> None:
    """An update that leaves a large value alone leaves its field out, unless the replica identity has it."""
    launch().wait_for("streaming")
    database.run("ALTER TABLE event_headers ALTER COLUMN header_data SET STORAGE EXTERNAL")
    large = json.dumps({"text": "x" * 20_000})
    database.insert("t", data=large)
    database.run("UPDATE event_headers SET event_type = 'first'")
    database.run("ALTER TABLE event_headers REPLICA IDENTITY FULL")
    database.run("UPDATE event_headers SET event_type = 'second'")
    created, left_out, filled = wait_until(count(topic, 3), "three records")
    assert "header_data" not in left_out.fields
    assert left_out.headers["cdc.unavailable"] == b'["header_data"]'
    assert left_out.fields["event_type"] == "first"
    assert created.fields["header_data"] == filled.fields["header_data"] == large
    assert filled.key == "t"


TYPES = {
    "bool": "true", "int2": "-7", "int4": "2147483647", "int8": "9223372036854775807", "float4": "0.1",
    "float8": "1e300", "numeric": "12345678901234567890.10", "text": "'ü'", "varchar(9)": "'v'", "char(3)": "'c'",
    "timestamptz": "'2026-01-02 03:04:05.678901+02'", "timestamp": "'0044-03-15 00:00:00 BC'", "date": "'10000-01-01'",
    "time": "'10:15:30.5'", "interval": "'1 year 2 days'", "uuid": "'6f1e8d0a-0000-4000-8000-000000000000'",
    "json": "'{\"a\":  1}'", "jsonb": "'{\"a\":  1}'", "bytea": "'\\x00ff'",
    "int4[]": "'{1,NULL,3}'", "inet": "'10.0.0.1'",
}  # fmt: skip


def test_snapshot_and_stream_give_one_value_one_form(database, new_topic, launch, wait_until) -> None:
    """A row reads the same whether it was there before or came later, for every type, also as null."""
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(TYPES))
    database.run(f"CREATE TABLE typed (id text PRIMARY KEY, {columns})")
    database.run("ALTER PUBLICATION event_headers_debezium_publication ADD TABLE typed")
    # A time zone and formats of the database's own must not reach the record.
    for name, value in (("timezone", "Asia/Tokyo"), ("datestyle", "SQL, DMY"), ("bytea_output", "escape")):
        database.run(f"ALTER DATABASE {database.name} SET {name} TO '{value}'")
    values = ", ".join(TYPES.values())
    nulls = ", ".join(["NULL"] * len(TYPES))
    insert = f"INSERT INTO typed VALUES ('%s', {values}), ('null-%s', {nulls})"  # noqa: S608  # of this file's texts
    topic = new_topic()
    database.run(insert % ("read", "read"))
    engine = launch(CDC_TABLES="public.typed", CDC_TOPIC=topic.name)
    engine.wait_for("streaming")
    database.run(insert % ("made", "made"))
    wait_until(count(topic, 4), "four records")

    def fields(key: str) -> dict[str, Any]:
        (record,) = topic.of(key)
        return {name: value for name, value in record.fields.items() if name.startswith("c")}

    assert fields("read") == fields("made")
    assert fields("null-read") == fields("null-made") == {f"c{number}": None for number in range(len(TYPES))}
    named = dict(zip(TYPES, fields("made").values(), strict=True))
    assert named["timestamptz"] == "2026-01-02T01:04:05.678901Z"
    assert named["timestamp"] == "-0043-03-15T00:00:00Z"
    assert named["date"] == "+10000-01-01Z"
    assert named["bytea"] == "AP8="
    assert (named["bool"], named["int8"], named["float4"], named["numeric"]) == (
        True, 9223372036854775807, 0.1, "12345678901234567890.10",
    )  # fmt: skip
    assert engine.events("finding")[0]["detail"].endswith("not in CDC_TABLES")
