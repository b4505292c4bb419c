"""Changes become records of the right topic, position and headers; what is not captured moves nothing."""

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from structlog.testing import capture_logs

from cdc.capture import Capture
from cdc.emission import Emission
from cdc.envelope import TableEncoder
from cdc.errors import CdcError, Kind
from cdc.lsn import STEPS, Lsn, Position
from cdc.pgoutput.messages import UNCHANGED, Begin, Column, Delete, Insert, LogicalMessage, Relation, Truncate, Update
from cdc.records import Record, TopicName, read_position
from cdc.tables import Route, TableName

ROW = ("1", "x", None, None, None, "{}")
OTHER = 5


def records_of(capture: Capture, *messages: object) -> list[Record]:
    """Return the records of one transaction at LSN 0x100."""
    capture.begin(Begin(Lsn(0x100), 1_000_000, 42))
    return [record for message in messages for record in capture.records(message)]  # type: ignore[arg-type]


def test_a_record_carries_position_source_transaction_and_commit_time(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """Everything a restart and a reader need to place the record is in its headers."""
    (record,) = records_of(new_capture(), headers_relation, Insert(16401, ROW))
    assert record.topic == "raw"
    assert record.position == Position(Lsn(0x100), STEPS)
    assert dict(record.headers) == {
        "cdc.position": b"0/100/4",
        "cdc.source": b"7/db",
        "cdc.xid": b"42",
        "cdc.commit_us": b"1000000",
    }


def test_the_position_in_the_headers_is_read_back(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """A stored record gives its position to the same source only."""
    (record,) = records_of(new_capture(), headers_relation, Insert(16401, ROW))
    assert read_position(dict(record.headers), b"7/db") == record.position
    assert read_position(dict(record.headers), b"8/db") is None
    assert read_position({}, b"7/db") is None
    assert read_position({"cdc.source": b"7/db", "cdc.position": b"?"}, b"7/db") is None


def test_positions_grow_through_a_transaction(new_capture: Callable[[], Capture], headers_relation: Relation) -> None:
    """Each change has room for its records, so that a delete's two come before the next change's one."""
    moved = Update(16401, ("1", None, None, None, None, None), True, ("2", *ROW[1:]))
    gone = Delete(16401, ("2", None, None, None, None, None), True)
    records = records_of(new_capture(), headers_relation, Insert(16401, ROW), moved, gone)
    assert [record.position.ordinal for record in records] == [4, 8, 9, 10, 12, 13]


def test_a_transaction_sent_again_has_the_same_positions(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """A new connection describes the relation again; that is no change."""
    messages = (headers_relation, Insert(16401, ROW), headers_relation, Insert(16401, ("2", *ROW[1:])))
    assert records_of(new_capture(), *messages) == records_of(new_capture(), *messages)
    assert [record.position.ordinal for record in records_of(new_capture(), *messages)] == [4, 8]


def test_changes_of_other_tables_count_but_give_no_record(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """A table taken off the list must not move the positions of the rest."""
    other = replace(headers_relation, oid=OTHER, name="other")
    records = records_of(new_capture(), other, headers_relation, Insert(OTHER, ROW), Insert(16401, ROW))
    assert [record.position.ordinal for record in records] == [8]


def test_a_relation_change_in_the_stream_is_followed(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """A column added between two changes appears from then on (CD-115)."""
    wider = replace(headers_relation, columns=(*headers_relation.columns, Column("note", 25, -1, False)))
    before, after = records_of(
        new_capture(), headers_relation, Insert(16401, ROW), wider, Insert(16401, ("2", *ROW[1:], "new"))
    )
    assert b'"note"' not in (before.value or b"")
    assert b'"note":"new"' in (after.value or b"")


def test_left_out_fields_are_listed_in_a_header(new_capture: Callable[[], Capture], headers_relation: Relation) -> None:
    """A reader can tell an absent field from a null one."""
    (record,) = records_of(new_capture(), headers_relation, Update(16401, None, False, (*ROW[:5], UNCHANGED)))
    assert dict(record.headers)["cdc.unavailable"] == b'["header_data"]'


def test_a_change_of_an_unknown_relation_is_an_error(new_capture: Callable[[], Capture]) -> None:
    """The server describes a relation first; anything else is not guessed at."""
    with pytest.raises(CdcError, match="never described") as caught:
        records_of(new_capture(), Insert(1, ROW))
    assert caught.value.kind is Kind.PROTOCOL


def test_a_truncate_is_said_not_swallowed(new_capture: Callable[[], Capture], headers_relation: Relation) -> None:
    """The flat record has no form for it; the log has a line with table and place, and the position counts it."""
    with capture_logs() as logs:
        records = records_of(
            new_capture(),
            headers_relation,
            Truncate((16401,), cascade=False, restart_identity=False),
            Insert(16401, ROW),
        )
    assert [(log["event"], log["table"], log["lsn"]) for log in logs] == [
        ("truncate_not_captured", "event_headers", 0x100)
    ]
    assert [record.position.ordinal for record in records] == [8]


def test_an_emitted_truncate_reaches_every_partition_under_a_key_of_its_own(headers_relation: Relation) -> None:
    """A truncate concerns all keys; its own key names the table, so that a compacted topic takes it and keeps one."""
    raw, other = TopicName("raw"), replace(headers_relation, oid=OTHER, name="other")
    routes = {TableName("public", name): Route(raw, ("id",)) for name in ("event_headers", "other")}
    capture = Capture(routes, b"7/db", clock=lambda: 1000.5, emission=Emission(truncated={raw: 3}))
    truncate = Truncate((16401, OTHER), cascade=False, restart_identity=False)
    records = records_of(capture, headers_relation, other, truncate, Insert(16401, ROW))
    placed = [(record.key, record.partition, record.position.ordinal) for record in records]
    mine, others = b'{"__truncated":"public.event_headers"}', b'{"__truncated":"public.other"}'
    assert placed[:3] == [(mine, partition, 4) for partition in range(3)]
    assert placed[3:6] == [(others, partition, 8) for partition in range(3)]
    assert placed[6:] == [(b'{"id":"1"}', None, 12)]
    assert orjson.loads(records[0].value or b"") == {
        **dict.fromkeys(("id", "event_name", "event_type", "created_date", "saved_date", "header_data")),
        "__deleted": "false",
        "__op": "t",
        "__table": "event_headers",
        "__ts_ms": 1_000_500,
    }


def test_a_logical_message_is_no_record(new_capture: Callable[[], Capture]) -> None:
    """Without a route for them messages disturb nothing."""
    assert records_of(new_capture(), LogicalMessage(False, Lsn(1), "p", b"")) == []


def test_only_a_message_of_the_transaction_counts_in_its_ordinals(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """Whether anybody routes messages must not move the positions of the rows beside them."""
    within, outside = LogicalMessage(True, Lsn(1), "p", b""), LogicalMessage(False, Lsn(1), "p", b"")
    records = records_of(new_capture(), headers_relation, within, Insert(16401, ROW), outside, Insert(16401, ROW))
    assert [record.position.ordinal for record in records] == [8, 12]


def test_a_snapshot_row_stands_before_the_consistent_point(
    new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """It has a position and says how far the snapshot came, but no transaction."""
    table = TableName("public", "event_headers")
    (record,) = new_capture().snapshot_records(TableEncoder(headers_relation), table, ROW, Lsn(0x100), 7, ("1",))
    assert record.position == Position(Lsn(0xFF), 7)
    assert dict(record.headers) == {
        "cdc.position": b"0/FF/7",
        "cdc.source": b"7/db",
        "cdc.snapshot": b'["public","event_headers",["1"]]',
    }


@pytest.mark.parametrize("described", [False, True])
def test_a_table_that_is_renamed_away_is_a_warning(headers_relation: Relation, described: bool) -> None:
    """Whether it was described before or not: its changes still come, and nobody wants them under that name."""
    routes = {TableName("public", "event_headers"): Route(TopicName("raw"), ("id",), headers_relation.oid)}
    capture = Capture(routes, b"7/db")
    with capture_logs() as logs:
        records = records_of(
            capture,
            *([headers_relation] if described else []),
            replace(headers_relation, name="event_headers_old"),
            Insert(headers_relation.oid, ROW),
        )
    assert records == []
    (warning,) = logs
    assert (warning["event"], warning["log_level"]) == ("table_renamed", "warning")
    assert (warning["table"], warning["renamed_to"]) == ("public.event_headers", "public.event_headers_old")
    assert "CDC_TABLES" in warning["remedy"]
    with capture_logs() as logs:
        assert len(records_of(capture, headers_relation, Insert(headers_relation.oid, ROW))) == 1
        records_of(capture, replace(headers_relation, oid=OTHER, name="never_asked_for"))
    assert logs == []
