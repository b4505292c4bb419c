"""A column's type leads to its converter however it is made up, without a question to the database."""

import json
from typing import Any

import pytest
from psycopg.postgres import types as builtins

from cdc.capture import Capture
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Begin, Column, Insert, Relation, ReplicaIdentity, Type
from cdc.records import TopicName
from cdc.tables import Route, TableName
from cdc.types import TypeCatalog, TypeInfo, Types

NUMERIC, BIT, TIMESTAMP = (builtins[name].oid for name in ("numeric", "bit", "timestamp"))
CATALOG = TypeCatalog(
    (
        TypeInfo(20001, "public", "price", base=NUMERIC),
        TypeInfo(20002, "public", "dear", base=20001),
        TypeInfo(20003, "public", "_dear", element=20002),
        TypeInfo(20004, "public", "dears", base=20003),
        TypeInfo(20005, "public", "flag", base=BIT, modifier=1),
        TypeInfo(20006, "public", "mood"),
        TypeInfo(20007, "public", "_mood", element=20006),
        TypeInfo(20008, "public", "round", base=20009),
        TypeInfo(20009, "public", "about", base=20008),
        TypeInfo(20010, "public", "_label"),
    ),
    money_digits=0,
)


def convert(oid: int, text: str, modifier: int = -1, types: Types | None = None) -> Any:
    """Return the value of a text, as the envelope would."""
    function = (types or Types(CATALOG)).converter(oid, modifier)
    return text if function is None else function(text)


@pytest.mark.parametrize(
    ("oid", "text", "value"),
    [
        (20002, "NaN", "NAN"),
        (20003, "{1.50,NaN,NULL}", ["1.50", "NAN", None]),
        (20004, "{{1},{2}}", [["1"], ["2"]]),
        (20005, "1", True),
        (20006, "{so}", "{so}"),
        (20007, '{"so so",sad}', ["so so", "sad"]),
        (20008, "x", "x"),
        (99_999, "{1}", "{1}"),
        (builtins["money"].oid, "￥1,234", "1234"),
    ],
)
def test_domains_arrays_and_enums_lead_to_their_base(oid: int, text: str, value: object) -> None:
    """A domain over a domain, its arrays, a domain over those; an enum's label stays what it is."""
    assert convert(oid, text) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("box", "{(3,4),(1,2);(1,1),(0,0)}", ["(3,4),(1,2)", "(1,1),(0,0)"]),
        ("bool", "{t,f,NULL}", [True, False, None]),
        ("float8", "{1,NaN,-Infinity}", [1.0, "NaN", "-Infinity"]),
        ("timestamptz", '{"2026-01-02 03:04:05+00",infinity}', ["2026-01-02T03:04:05Z", "infinity"]),
        ("bytea", '{"\\\\x00ff"}', ["AP8="]),
        ("jsonb", '{"{\\"a\\": 1}"}', ['{"a": 1}']),
        ("point", '{"(1,2)"}', ["(1,2)"]),
        ("int4range", '{"[1,5)"}', ["[1,5)"]),
        ("money", "{$1}", ["1"]),
        ("interval", '{"1 day"}', ["P0Y0M1DT0H0M0S"]),
    ],
)
def test_elements_take_the_form_of_their_type(name: str, text: str, value: object) -> None:
    """An array of a type is a list of that type's values; only boxes are separated by semicolons."""
    assert convert(builtins[name].array_oid, text) == value


def test_an_array_of_bits_takes_the_length_of_its_column() -> None:
    """One bit is a boolean, in an array as well."""
    assert convert(builtins["bit"].array_oid, "{1,0}", 1) == [True, False]
    assert convert(builtins["bit"].array_oid, "{11}", 2) == ["Aw=="]


def test_a_type_made_later_is_learnt_from_the_stream() -> None:
    """The server names a domain's base; an array is known by the name of its element."""
    types = Types()
    for message in (
        Type(30001, "pg_catalog", "timestamp"),
        Type(30002, "public", "mood"),
        Type(30003, "public", "_mood"),
        Type(30004, "pg_catalog", "_numeric"),
        Type(30005, "public", "_unheard"),
    ):
        types.learn(message)
    assert convert(30001, "2026-01-02 03:04:05", types=types) == "2026-01-02T03:04:05Z"
    assert convert(30002, "{sad}", types=types) == "{sad}"
    assert convert(30003, "{sad,NULL}", types=types) == ["sad", None]
    assert convert(30004, "{NaN}", types=types) == ["NAN"]
    assert convert(30005, "{a,b}", types=types) == ["a", "b"]
    assert convert(30005, "(a,b)", types=types) == "(a,b)"
    assert convert(30005, "{a", types=types) == "{a"


def test_the_catalogue_knows_more_than_the_stream() -> None:
    """A domain's own modifier is in the catalogue alone; a description of its base does not undo that."""
    types = Types(CATALOG)
    types.learn(Type(20005, "pg_catalog", "bit"))
    assert convert(20005, "1", types=types) is True


def test_a_capture_decodes_by_the_types_it_was_told() -> None:
    """From the catalogue at its start and from the stream later."""
    table, topic = TableName("public", "t"), TopicName("topic")
    capture = Capture({table: Route(topic)}, b"1/db", lambda: 0.0, CATALOG)
    columns = (Column("id", 23, -1, True), Column("d", 20003, -1, False), Column("n", 30001, -1, False))
    capture.begin(Begin(Lsn(1), 0, 1))
    capture.records(Type(30001, "pg_catalog", "bool"))
    capture.records(Relation(7, "public", "t", ReplicaIdentity.DEFAULT, columns))
    (record,) = capture.records(Insert(7, ("1", "{NaN}", "t")))
    assert record.value is not None
    assert {name: json.loads(record.value)[name] for name in ("id", "d", "n")} == {"id": 1, "d": ["NAN"], "n": True}


@pytest.mark.parametrize("name", ["text", "varchar", "jsonb", "uuid"])
def test_a_text_costs_no_conversion(name: str) -> None:
    """Of the default table's columns only the two instants are converted."""
    assert Types(CATALOG).converter(builtins[name].oid) is None
