"""The `avro` format: Confluent's wire format around the flat fields, in schemas that survive changes of a relation.

Read back by fastavro with schemas of its own parsing; the real registry is an integration test's.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import pytest
from psycopg.postgres import types as builtins

from cdc.capture import Capture
from cdc.emission import Emission
from cdc.envelope import CREATE, TableEncoder
from cdc.errors import CdcError, Kind
from cdc.formats.avro import AvroFormat
from cdc.formats.avro_schema import derive
from cdc.formats.protocol import TableShape
from cdc.lsn import Lsn
from cdc.pgoutput.messages import UNCHANGED, Begin, Column, Delete, Relation, ReplicaIdentity, Truncate, Update
from cdc.records import TopicName
from cdc.registry import changed_columns
from cdc.tables import Route, TableName
from cdc.types import TypeCatalog, TypeInfo, Types

NOW = 1_000_500
ROW = ("1", "Car Created", None, "2026-11-21 03:05:00.5+00", None, '{"a": "ü"}')


class Numbered:
    """Ids by order, as a registry gives them."""

    def __init__(self) -> None:
        self.schemas: list[tuple[str, str]] = []

    def schema_id(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Return the place of the schema."""
        entry = (subject, json.dumps(schema))
        if entry not in self.schemas:
            self.schemas.append(entry)
        return self.schemas.index(entry)

    def decode(self, data: bytes | None, reader: Mapping[str, Any] | None = None) -> Any:
        """Return the record of a message in the wire format, as a reader with `reader` sees it."""
        assert data is not None
        assert data[0] == 0
        written = json.loads(self.schemas[int.from_bytes(data[1:5], "big")][1])
        return fastavro.schemaless_reader(BytesIO(data[5:]), written, None if reader is None else dict(reader))


def encoder_of(relation: Relation, ids: Numbered, types: Types | None = None) -> TableEncoder:
    """Return an encoder whose records go to `raw`."""
    return TableEncoder(relation, ("id",), types, AvroFormat(ids), TopicName("raw"))


def table_of(*columns: tuple[str, str, int]) -> Relation:
    """Return a relation of columns by name, type and modifier; the first is the key."""
    made = [
        Column(
            name,
            builtins[kind.removesuffix("[]")].array_oid if kind.endswith("[]") else builtins[kind].oid,
            mod,
            not at,
        )
        for at, (name, kind, mod) in enumerate(columns)
    ]
    return Relation(7, "public", "t", ReplicaIdentity.DEFAULT, tuple(made))


def one(kind: str, text: str, modifier: int = -1) -> Any:
    """Return the value of a column after its way through Avro."""
    ids = Numbered()
    payload = encoder_of(table_of(("id", "int4", -1), ("v", kind, modifier)), ids).row(("1", text), CREATE, NOW)
    return ids.decode(payload.value)["v"]


def test_a_row_comes_back_with_the_flat_fields(headers_relation: Relation) -> None:
    """The subjects are the topic's, the texts those of the flat format, the key has the key alone."""
    ids = Numbered()
    payload = encoder_of(headers_relation, ids).row(ROW, CREATE, NOW)
    assert [subject for subject, _ in ids.schemas] == ["raw-key", "raw-value"]
    assert ids.decode(payload.key) == {"id": "1"}
    assert ids.decode(payload.value) == {
        "id": "1",
        "event_name": "Car Created",
        "event_type": None,
        "created_date": "2026-11-21T03:05:00.5Z",
        "saved_date": None,
        "header_data": '{"a": "ü"}',
        "__op": "c",
        "__table": "event_headers",
        "__ts_ms": NOW,
        "__deleted": "false",
    }


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int2", "-7", -7),
        ("int4", "2147483647", 2147483647),
        ("int8", "-9223372036854775808", -9223372036854775808),
        ("oid", "4294967295", 4294967295),
        ("float8", "1.5e+300", 1.5e300),
        ("float4", "Infinity", math.inf),
        ("bool", "t", True),
        ("bytea", "\\x00ff", b"\x00\xff"),
        ("numeric", "1.50", "1.50"),
        ("numeric", "NaN", "NAN"),
        ("date", "2026-01-02", "2026-01-02Z"),
        ("interval", "1 day", "P0Y0M1DT0H0M0S"),
        ("uuid", "0b6f1c1e-8a52-4c0e-9a3c-000000000001", "0b6f1c1e-8a52-4c0e-9a3c-000000000001"),
        ("money", "$1,234.50", "1234.50"),
        ("int4[]", "{1,NULL,3}", [1, None, 3]),
        ("text[]", '{a,"b c"}', ["a", "b c"]),
        ("bytea[]", '{"\\\\x00"}', [b"\x00"]),
        ("timestamptz[]", '{"2026-11-21 03:05:00+00"}', ["2026-11-21T03:05:00Z"]),
        ("bool[]", "{}", []),
    ],
)
def test_a_value_has_its_avro_type_or_the_flat_text(kind: str, text: str, value: Any) -> None:
    """Numbers, booleans and bytes are Avro's; all else means what it means in JSON."""
    assert one(kind, text) == value
    assert type(one(kind, text)) is type(value)


def test_not_a_number_is_a_number_here() -> None:
    """Avro's double has it; no text is needed."""
    assert math.isnan(one("float8", "NaN"))


def test_one_bit_is_a_boolean_and_a_domain_is_its_base() -> None:
    """As in the flat format, down through domains."""
    assert one("bit", "1", 1) is True
    domain = TypeInfo(90_000, "public", "positive", base=builtins["int4"].oid)
    types = Types(TypeCatalog((domain,)))
    relation = Relation(7, "public", "t", ReplicaIdentity.DEFAULT, (Column("id", 90_000, -1, True),))
    ids = Numbered()
    assert ids.decode(encoder_of(relation, ids, types).row(("5",), CREATE, NOW).key) == {"id": 5}


def test_an_array_of_two_dimensions_is_refused_by_column() -> None:
    """Avro fixes the depth in the schema: the value is not flattened in silence."""
    with pytest.raises(CdcError, match="column v cannot be read") as caught:
        one("int4[]", "{{1,2},{3,4}}")
    assert caught.value.kind is Kind.UNENCODABLE


def test_an_added_column_leaves_old_records_readable(headers_relation: Relation) -> None:
    """Every column has a default, so the new schema reads the old record, and a dropped column is passed over."""
    ids = Numbered()
    old = encoder_of(headers_relation, ids).row(ROW, CREATE, NOW)
    columns = (*headers_relation.columns[:-1], Column("note", builtins["int4"].oid, -1, False))
    changed = replace(headers_relation, columns=columns)
    encoder_of(changed, ids)
    new_schema = derive(TableShape(changed, (0,), Types(), TopicName("raw"))).value
    read = ids.decode(old.value, new_schema)
    assert (read["id"], read["note"], "header_data" in read) == ("1", None, False)


def test_a_relation_described_again_has_the_same_ids(headers_relation: Relation) -> None:
    """Every connection describes it anew; only a change is a new schema."""
    ids = Numbered()
    first, second = (encoder_of(headers_relation, ids).row(ROW, CREATE, NOW) for _ in range(2))
    assert first == second
    assert len(ids.schemas) == 2


def test_names_that_avro_does_not_allow_become_some_that_it_does() -> None:
    """All different, none of them ours, the original in a property; legal ones stay."""
    names = ("id", "a-b", "a_b", "a b", "1st", "Straße", "__op")
    relation = replace(table_of(*((name, "text", -1) for name in names)), schema="My Schema", name="7.t")
    derived = derive(TableShape(relation, (0,), Types(), TopicName("raw")))
    assert derived.names == ("id", "a_b_2", "a_b", "a_b_3", "_1st", "Stra_e", "__op_2")
    assert [field["column"] for field in derived.value["fields"][: len(names)]] == list(names)
    assert (derived.value["namespace"], derived.value["name"]) == ("My_Schema._7_t", "Value")
    assert derived.value["doc"] == "My Schema.7.t"
    fastavro.parse_schema(derived.value)


def test_what_the_server_left_out_is_null_and_listed(headers_relation: Relation) -> None:
    """A field of a schema cannot be absent; the header tells it from a null."""
    ids = Numbered()
    (payload,) = encoder_of(headers_relation, ids).update(Update(1, None, False, (*ROW[:5], UNCHANGED)), NOW)
    assert ids.decode(payload.value)["header_data"] is None
    assert payload.unavailable == ("header_data",)


def test_a_deletion_and_a_truncation_have_their_operation(headers_relation: Relation) -> None:
    """A `d` with the key and its tombstone; a `t` of nulls under a key of nulls."""
    ids = Numbered()
    routes = {TableName("public", "event_headers"): Route(TopicName("raw"), ("id",))}
    emission = Emission(AvroFormat(ids), {TopicName("raw"): 1})
    capture = Capture(routes, b"7/db", clock=lambda: 1000.5, emission=emission)
    capture.begin(Begin(Lsn(8), 0, 1))
    capture.records(headers_relation)
    gone, tombstone = capture.records(Delete(16401, ("1", *[None] * 5), True))
    (cut,) = capture.records(Truncate((16401,), False, False))
    assert (ids.decode(gone.key), tombstone.key, tombstone.value) == ({"id": "1"}, gone.key, None)
    read = ids.decode(gone.value)
    assert (read["id"], read["event_name"], read["__op"], read["__deleted"]) == ("1", None, "d", "true")
    read = ids.decode(cut.value)
    assert (ids.decode(cut.key), read["id"], read["__op"]) == ({"id": None}, None, "t")


def test_a_value_beyond_its_type_is_an_error_that_does_not_tell_it() -> None:
    """No data of a row reaches a log by an error."""
    relation = table_of(("id", "int4", -1))
    with pytest.raises(CdcError, match=r"public\.t: a value does not fit") as caught:
        encoder_of(relation, Numbered()).row(("99999999999",), CREATE, NOW)
    assert "99999999999" not in str(caught.value)


def test_the_columns_at_fault_are_named_with_both_types() -> None:
    """By their names in PostgreSQL; columns that came or went are not at fault."""
    before = derive(
        TableShape(
            table_of(("a b", "int4", -1), ("l", "int4[]", -1), ("gone", "text", -1)), (0,), Types(), TopicName("x")
        )
    )
    after = derive(
        TableShape(
            table_of(("a b", "text", -1), ("l", "text[]", -1), ("new", "text", -1)), (0,), Types(), TopicName("x")
        )
    )
    assert changed_columns(before.value, after.value) == (
        "a b: int -> string",
        "l: array of int -> array of string",
    )
