"""Key and value of a record say exactly what the server said of the row (CD-40 to CD-50)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.envelope import CREATE, READ, Payload, TableEncoder, key_columns
from cdc.errors import CdcError, Kind
from cdc.pgoutput.messages import UNCHANGED, Column, Delete, Relation, ReplicaIdentity, Update

NOW = 1_000_500
ROW = ("1", "Car Created", None, "2026-11-21 03:05:00.5+00", None, '{"a": "ü"}')
KEY_ONLY = ("1", None, None, None, None, None)


def value_of(payload: Payload) -> dict[str, Any]:
    """Return the fields of a value."""
    assert payload.value is not None
    fields = json.loads(payload.value)
    assert isinstance(fields, dict)
    return fields


def test_the_value_is_flat_and_names_its_operation(headers_relation: Relation) -> None:
    """All columns, then operation, table and capture time, without an envelope (CD-40, CD-41, CD-44, CD-45)."""
    payload = TableEncoder(headers_relation).row(ROW, CREATE, NOW)
    assert value_of(payload) == {
        "id": "1",
        "event_name": "Car Created",
        "event_type": None,
        "created_date": "2026-11-21T03:05:00.5Z",
        "saved_date": None,
        "header_data": '{"a": "ü"}',
        "__deleted": "false",
        "__op": "c",
        "__table": "event_headers",
        "__ts_ms": NOW,
    }
    assert payload.key == b'{"id":"1"}'


def test_a_snapshot_row_is_read_not_created(headers_relation: Relation) -> None:
    """`r` is the only difference to an insert (CD-44)."""
    encoder = TableEncoder(headers_relation)
    created, read = value_of(encoder.row(ROW, CREATE, NOW)), value_of(encoder.row(ROW, READ, NOW))
    assert read == {**created, "__op": "r"}


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=300))
def test_any_text_comes_back_byte_exact(headers_relation: Relation, text: str) -> None:
    """Quotes, backslashes, newlines, control and non-ASCII characters survive key and value (CD-49, CD-117)."""
    row = (text, *ROW[1:5], text)
    payload = TableEncoder(headers_relation).row(row, CREATE, NOW)
    assert value_of(payload)["header_data"] == text
    assert json.loads(payload.key) == {"id": text}


def test_a_deletion_is_a_d_and_a_tombstone(headers_relation: Relation) -> None:
    """Both under the row's key; what the replica identity does not keep is null (CD-46, CD-48)."""
    gone, tombstone = TableEncoder(headers_relation).delete(Delete(1, KEY_ONLY, old_is_key=True), NOW)
    fields = value_of(gone)
    assert (fields["id"], fields["event_name"], fields["__op"], fields["__deleted"]) == ("1", None, "d", "true")
    assert tombstone == Payload(b'{"id":"1"}', None)
    assert gone.key == tombstone.key


def test_a_deletion_with_the_full_row_carries_it(headers_relation: Relation) -> None:
    """REPLICA IDENTITY FULL gives the old values, so the record has them."""
    full = replace(headers_relation, replica_identity=ReplicaIdentity.FULL)
    gone, _ = TableEncoder(full, ("id",)).delete(Delete(1, ROW, old_is_key=False), NOW)
    assert value_of(gone)["header_data"] == ROW[5]


def test_an_update_is_one_record_under_its_key(headers_relation: Relation) -> None:
    """Without an old row the key has not changed."""
    (payload,) = TableEncoder(headers_relation).update(Update(1, None, False, ROW), NOW)
    assert value_of(payload)["__op"] == "u"
    assert payload.key == b'{"id":"1"}'


def test_a_changed_key_leaves_no_ghost(headers_relation: Relation) -> None:
    """The old key is deleted with a tombstone, the new one created, in this order."""
    moved = TableEncoder(headers_relation).update(Update(1, KEY_ONLY, True, ("2", *ROW[1:])), NOW)
    assert [payload.key for payload in moved] == [b'{"id":"1"}', b'{"id":"1"}', b'{"id":"2"}']
    assert [None if payload.value is None else value_of(payload)["__op"] for payload in moved] == ["d", None, "c"]


def test_untouched_toast_is_left_out_and_listed(headers_relation: Relation) -> None:
    """A value that the server did not send is neither null nor a placeholder, but absent by name."""
    (payload,) = TableEncoder(headers_relation).update(Update(1, None, False, (*ROW[:5], UNCHANGED)), NOW)
    assert "header_data" not in value_of(payload)
    assert payload.unavailable == ("header_data",)


def test_untouched_toast_is_filled_from_the_full_old_row(headers_relation: Relation) -> None:
    """Where the replica identity keeps the value, the record has it."""
    full = replace(headers_relation, replica_identity=ReplicaIdentity.FULL)
    (payload,) = TableEncoder(full, ("id",)).update(Update(1, ROW, False, (*ROW[:5], UNCHANGED)), NOW)
    assert value_of(payload)["header_data"] == ROW[5]
    assert payload.unavailable == ()


def test_untouched_toast_is_not_filled_from_a_key(headers_relation: Relation) -> None:
    """The nulls of a row that holds only the key are no values: filling from them would erase data."""
    moved = TableEncoder(headers_relation).update(Update(1, KEY_ONLY, True, ("2", *ROW[1:5], UNCHANGED)), NOW)
    assert "header_data" not in value_of(moved[2])
    assert moved[2].unavailable == ("header_data",)


def test_a_full_identity_is_keyed_by_the_primary_key(headers_relation: Relation) -> None:
    """FULL marks every column; the catalogue's primary key is the key of the record."""
    columns = tuple(replace(column, is_key=True) for column in headers_relation.columns)
    full = replace(headers_relation, replica_identity=ReplicaIdentity.FULL, columns=columns)
    assert key_columns(full, ("id",)) == ("id",)
    assert key_columns(full, ()) == tuple(column.name for column in columns)
    assert key_columns(full, ("gone",)) == tuple(column.name for column in columns)


def test_a_column_that_bears_the_name_of_an_engines_field_is_kept_beside_it() -> None:
    """It has one underscore more, as many times as it takes; what readers route by is the engine's."""
    names = ("id", "__op", "___op", "__deleted")
    relation = Relation(
        1, "public", "t", ReplicaIdentity.DEFAULT, tuple(Column(name, 25, -1, is_key=name == "id") for name in names)
    )
    payload = TableEncoder(relation, ("id",)).row(("1", "a", "b", "c"), CREATE, NOW)
    fields = value_of(payload)
    assert {name: fields[name] for name in ("____op", "___op", "___deleted")} == {
        "____op": "a",
        "___op": "b",
        "___deleted": "c",
    }
    assert (fields["__op"], fields["__deleted"], fields["__table"]) == ("c", "false", "t")


def test_a_key_has_its_columns_in_the_order_of_the_primary_key() -> None:
    """As Debezium writes it: other bytes would be another partition, and an event would move when engines change."""
    columns = tuple(Column(name, 25, -1, is_key=name != "n") for name in ("n", "b", "a"))
    relation = Relation(1, "public", "t", ReplicaIdentity.DEFAULT, columns)
    assert key_columns(relation, ("a", "b")) == ("a", "b")
    # The catalogue knew another key than the stream tells of.
    assert key_columns(relation, ("a", "n")) == ("b", "a")


def test_a_key_of_several_columns_keeps_their_order_and_types() -> None:
    """Numbers stay numbers in the key, in the order of the table's columns."""
    relation = Relation(
        1,
        "s",
        "t",
        ReplicaIdentity.DEFAULT,
        (Column("b", 23, -1, True), Column("v", 25, -1, False), Column("a", 25, -1, True)),
    )
    assert TableEncoder(relation).row(("7", "x", "y"), CREATE, NOW).key == b'{"b":7,"a":"y"}'


def test_without_an_identity_the_primary_key_or_the_whole_row_is_the_key(headers_relation: Relation) -> None:
    """The server lets only inserts happen then; they keep a key, so that their partition is always the same."""
    columns = tuple(replace(column, is_key=False) for column in headers_relation.columns)
    nothing = replace(headers_relation, columns=columns, replica_identity=ReplicaIdentity.NOTHING)
    assert json.loads(TableEncoder(nothing, ("id",)).row(ROW, CREATE, NOW).key) == {"id": "1"}
    payload = TableEncoder(nothing).row(ROW, CREATE, NOW)
    assert json.loads(payload.key).items() <= value_of(payload).items()
    assert list(json.loads(payload.key)) == [column.name for column in columns]


@pytest.mark.parametrize("row", [(), ROW[:5], (*ROW, "more")])
def test_a_row_of_another_shape_is_refused(headers_relation: Relation, row: tuple[str | None, ...]) -> None:
    """Values never slide into the neighbouring column."""
    with pytest.raises(CdcError, match="columns") as caught:
        TableEncoder(headers_relation).row(row, CREATE, NOW)
    assert caught.value.kind is Kind.PROTOCOL


def test_an_unreadable_value_names_column_and_table_not_the_value(headers_relation: Relation) -> None:
    """Data of a row does not reach a log by an error."""
    with pytest.raises(CdcError, match=r"public\.event_headers: column created_date") as caught:
        TableEncoder(headers_relation).row(("1", "x", None, "secret", None, "{}"), CREATE, NOW)
    assert "secret" not in str(caught.value)
