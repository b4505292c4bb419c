"""The `debezium` format writes the envelope that Debezium's documentation describes for PostgreSQL.

Source of the expected shape: Debezium 3 documentation, "Debezium connector for PostgreSQL", sections "Create events",
"Update events", "Primary key updates", "Delete events", "Tombstone events" and "Truncate events". The forms of the
values are recorded, see `test_debezium_forms.py`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cdc.capture import Capture
from cdc.emission import Emission
from cdc.formats.debezium import DebeziumFormat
from cdc.lsn import Lsn
from cdc.pgoutput.messages import UNCHANGED, Begin, Delete, Insert, Message, Relation, ReplicaIdentity, Truncate, Update
from cdc.records import Record, TopicName
from cdc.tables import Route, TableName

OID = 16401
RAW = TopicName("raw")
TABLE = TableName("public", "event_headers")
ROW = ("1", "Car Created", None, "2026-11-21 03:05:00.5+00", None, "{}")
FIELDS = {
    "id": "1",
    "event_name": "Car Created",
    "event_type": None,
    "created_date": "2026-11-21T03:05:00.5Z",
    "saved_date": None,
    "header_data": "{}",
}
KEY_ONLY = ("1", None, None, None, None, None)
COMMITTED_US = 1_795_232_991_168_123
SOURCE_FIELDS = ["version", "connector", "name", "ts_ms", "snapshot", "db", "sequence", "ts_us", "ts_ns"]
SOURCE_FIELDS += ["schema", "table", "txId", "lsn", "xmin", "origin", "origin_lsn"]


@pytest.fixture
def capture() -> Capture:
    """A capture that writes envelopes, at 1,000.5 s, into a topic of two partitions."""
    form = DebeziumFormat("postgres-cdc", "shop")
    return Capture({TABLE: Route(RAW, ("id",))}, b"7/shop", clock=lambda: 1000.5, emission=Emission(form, {RAW: 2}))


@pytest.fixture
def records(capture: Capture) -> Callable[..., list[Record]]:
    """Return the records of messages in one transaction."""

    def give(*messages: Message) -> list[Record]:
        capture.begin(Begin(Lsn(0x16_0000_0100), COMMITTED_US, 771))
        return [record for message in messages for record in capture.records(message)]

    return give


def envelope(record: Record) -> dict[str, Any]:
    """Return the value of a record."""
    assert record.value is not None
    found = json.loads(record.value)
    assert isinstance(found, dict)
    return found


def test_an_insert_has_the_fields_of_a_create_event(
    records: Callable[..., list[Record]], headers_relation: Relation
) -> None:
    """`before` null, `after` the row, `source` with every field of the documentation, times in three units."""
    (record,) = records(headers_relation, Insert(OID, ROW))
    value = envelope(record)
    source = value.pop("source")
    assert value == {
        "before": None,
        "after": FIELDS,
        "op": "c",
        "ts_ms": 1_000_500,
        "ts_us": 1_000_500_000,
        "ts_ns": 1_000_500_000_000,
        "transaction": None,
    }
    assert list(source) == SOURCE_FIELDS
    assert source.pop("version")
    lsn = 0x16_0000_0100
    assert source == {
        "connector": "postgresql",
        "name": "postgres-cdc",
        "ts_ms": COMMITTED_US // 1000,
        "ts_us": COMMITTED_US,
        "ts_ns": COMMITTED_US * 1000,
        "snapshot": "false",
        "db": "shop",
        "sequence": f'["{lsn}","{lsn}"]',
        "schema": "public",
        "table": "event_headers",
        "txId": 771,
        "lsn": lsn,
        "xmin": None,
        "origin": None,
        "origin_lsn": None,
    }
    assert record.key == b'{"id":"1"}'


def test_an_update_has_the_old_row_that_the_identity_gives(
    records: Callable[..., list[Record]], headers_relation: Relation
) -> None:
    """Nothing by default; under FULL the whole row."""
    (plain,) = records(headers_relation, Update(OID, None, False, ROW))
    assert (envelope(plain)["op"], envelope(plain)["before"], envelope(plain)["after"]) == ("u", None, FIELDS)
    full = replace(headers_relation, replica_identity=ReplicaIdentity.FULL)
    (whole,) = records(full, Update(OID, ROW, False, (*ROW[:5], '{"v": 2}')))
    assert envelope(whole)["before"] == FIELDS
    assert envelope(whole)["after"] == {**FIELDS, "header_data": '{"v": 2}'}


def test_a_deletion_has_no_after_and_a_tombstone_behind_it(
    records: Callable[..., list[Record]], headers_relation: Relation
) -> None:
    """`before` holds the key; the other columns are null, as Debezium gives them."""
    gone, tombstone = records(headers_relation, Delete(OID, KEY_ONLY, True))
    assert envelope(gone)["after"] is None
    assert envelope(gone)["before"] == {**dict.fromkeys(FIELDS), "id": "1"}
    assert (tombstone.key, tombstone.value) == (gone.key, None)


def test_a_changed_key_names_the_other_key_in_a_header(
    records: Callable[..., list[Record]], headers_relation: Relation
) -> None:
    """A deletion with `__debezium.newkey`, a tombstone that has it too, a creation with `__debezium.oldkey`."""
    gone, tombstone, created = records(headers_relation, Update(OID, KEY_ONLY, True, ("2", *ROW[1:])))
    assert [envelope(gone)["op"], tombstone.value, envelope(created)["op"]] == ["d", None, "c"]
    assert dict(gone.headers)["__debezium.newkey"] == b'{"id":"2"}'
    assert dict(created.headers)["__debezium.oldkey"] == b'{"id":"1"}'
    assert dict(tombstone.headers)["__debezium.newkey"] == b'{"id":"2"}'


def test_untouched_toast_is_missing_never_a_placeholder(
    records: Callable[..., list[Record]], headers_relation: Relation
) -> None:
    """`after` lacks the column, the header lists it."""
    (record,) = records(headers_relation, Update(OID, None, False, (*ROW[:5], UNCHANGED)))
    assert "header_data" not in envelope(record)["after"]
    assert dict(record.headers)["cdc.unavailable"] == b'["header_data"]'


def test_a_truncation_is_a_t_without_rows(records: Callable[..., list[Record]], headers_relation: Relation) -> None:
    """Both sides null, `op` t, once for each partition."""
    found = records(headers_relation, Truncate((OID,), False, False))
    assert [record.partition for record in found] == [0, 1]
    for value in map(envelope, found):
        assert (value["op"], value["before"], value["after"]) == ("t", None, None)
        assert value["source"]["table"] == "event_headers"


def test_a_snapshot_row_says_so_in_source(capture: Capture, headers_relation: Relation) -> None:
    """`op` r, `source.snapshot` true, the LSN of the snapshot, no transaction."""
    encoder = capture.encoder(headers_relation, ("id",))
    value = envelope(*capture.snapshot_records(encoder, TABLE, ROW, Lsn(0x100), 0, ("1",)))
    assert (value["op"], value["after"], value["before"]) == ("r", FIELDS, None)
    source = value["source"]
    assert (source["snapshot"], source["lsn"], source["txId"], source["ts_ms"]) == ("true", 0x100, None, 1_000_500)
    assert source["sequence"] == '[null,"256"]'


def test_each_transaction_has_its_own_source(capture: Capture, headers_relation: Relation) -> None:
    """What is kept of one transaction is not said of the next."""
    capture.begin(Begin(Lsn(8), 1_000, 1))
    capture.records(headers_relation)
    (first,) = capture.records(Insert(OID, ROW))
    capture.begin(Begin(Lsn(16), 2_000, 2))
    (second,) = capture.records(Insert(OID, ROW))
    assert [envelope(each)["source"]["txId"] for each in (first, second)] == [1, 2]
