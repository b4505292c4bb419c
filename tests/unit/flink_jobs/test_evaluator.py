"""What a filter means without Flink: values, three-valued logic and why a record is not taken."""

from collections.abc import Callable
from typing import Any

import pytest

from flink_jobs.evaluator import evaluate, explain
from flink_jobs.filters import FilterSet
from flink_jobs.values import as_boolean, as_instant, as_number, json_value

Json = dict[str, Any]
MakeFilters = Callable[..., FilterSet]

RECORD: Json = {
    "id": "e-1",
    "event_name": "Ä😀",
    "event_type": "CarCreated",
    "created_date": None,
    "saved_date": "2026-01-01T02:00:00.000001+02:00",
    "header_data": '{"n": 10.0, "a": {"b": [{"c": "found"}]}, "yes": true, "t": "it\'s"}',
    "__op": "c",
    "__table": "event_headers",
    "__ts_ms": 1,
}


def asks(field: str, operator: str, value_type: str = "string", **values: object) -> Json:
    """Return one condition."""
    return {"field": field, "operator": operator, "valueType": value_type, **values}


VERDICTS: list[tuple[Json, bool | None]] = [
    (asks("event_type", "equals", value="CarCreated"), True),
    (asks("event_type", "equals", value="carcreated"), False),
    (asks("created_date", "equals", value="x"), None),
    (asks("event_type", "in", values=["a", "CarCreated"]), True),
    (asks("event_type", "notIn", values=["a", "b"]), True),
    (asks("event_type", "notIn", values=["CarCreated"]), False),
    (asks("created_date", "notIn", values=["x"]), None),
    (asks("event_name", "greaterThan", value="Ä\uffff"), True),
    (asks("event_name", "lessThan", value="Ä😀\u0308"), True),
    (asks("event_type", "greaterThanOrEqual", value="CarCreated"), True),
    (asks("event_type", "lessThanOrEqual", value="CarCreate"), False),
    (asks("event_type", "between", min="CarCreated", max="D"), True),
    (asks("event_type", "between", min="CarCreatee", max="D"), False),
    (asks("event_type", "matches", value="Car.*"), True),
    (asks("event_type", "matches", value="Car"), False),
    (asks("created_date", "matches", value=".*"), None),
    (asks("created_date", "isNull"), True),
    (asks("header_data.a", "isNull"), True),
    (asks("header_data.a", "isNotNull"), False),
    (asks("header_data.a.b[0].c", "equals", value="found"), True),
    (asks("header_data.t", "equals", value="it's"), True),
    (asks("header_data.n", "equals", value="10.0"), True),
    (asks("header_data.n", "equals", "number", value=10), True),
    (asks("header_data.n", "between", "number", min=9.5, max=10), True),
    (asks("header_data.t", "greaterThan", "number", value=0), None),
    (asks("header_data.yes", "equals", "boolean", value=True), True),
    (asks("header_data.yes", "notIn", "boolean", values=[True]), False),
    (asks("header_data.n", "equals", "boolean", value=True), None),
    (asks("saved_date", "greaterThan", "timestamp", value="2026-01-01T00:00:00Z"), True),
    (asks("saved_date", "equals", "timestamp", value="2026-01-01 00:00:00.000001"), True),
    (asks("event_type", "equals", "timestamp", value="2026-01-01 00:00:00"), None),
    (asks("__ts_ms", "lessThan", "number", value=1.5), True),
    (asks("__ts_ms", "in", "number", values=[1.5, *range(2, 30)]), False),
    (asks("__ts_ms", "equals", "timestamp", value="1970-01-01T00:00:00.001Z"), True),
]


@pytest.mark.parametrize(("condition", "verdict"), VERDICTS)
def test_a_condition_is_true_false_or_null(filters: MakeFilters, condition: Json, verdict: bool | None) -> None:
    """Null satisfies nothing but `isNull`, and what is no value of the type is null (FL-9 to FL-15)."""
    assert evaluate(filters(condition).filters[0], RECORD) is verdict


TRUE, FALSE, NULL = (
    asks("id", "equals", value="e-1"),
    asks("id", "equals", value="x"),
    asks("created_date", "in", values=["x"]),
)


@pytest.mark.parametrize(
    ("logic", "conditions", "verdict"),
    [
        ("AND", (TRUE, TRUE), True),
        ("AND", (TRUE, NULL), None),
        ("AND", (NULL, FALSE), False),
        ("OR", (FALSE, FALSE), False),
        ("OR", (FALSE, NULL), None),
        ("OR", (NULL, TRUE), True),
    ],
)
def test_conditions_are_joined_as_sql_joins_them(
    filters: MakeFilters,
    logic: str,
    conditions: tuple[Json, ...],
    verdict: bool | None,
) -> None:
    """A false settles AND, a true settles OR, and otherwise one null is enough (FL-13, FL-43)."""
    assert evaluate(filters(*conditions, conditionLogic=logic).filters[0], RECORD) is verdict


@pytest.mark.parametrize(
    ("conditions", "changes", "verdict"),
    [
        ([TRUE], {"__op": "r"}, True),
        ([TRUE], {"__op": "u"}, False),
        ([TRUE], {"__op": None}, None),
        ([asks("__op", "equals", value="u")], {"__op": "u"}, True),
        ([asks("__op", "equals", value="u"), TRUE], {"__op": "c"}, False),
        ([TRUE], {"event_type": "  "}, False),
        ([TRUE], {"event_type": "\t"}, True),
        ([TRUE], {"event_type": None}, None),
        ([asks("event_type", "isNull")], {"event_type": None}, True),
        ([asks("event_type", "equals", "boolean", value=True)], {"event_type": ""}, False),
    ],
)
def test_operation_and_event_type_are_asked_unless_the_filter_does(
    filters: MakeFilters,
    conditions: list[Json],
    changes: Json,
    verdict: bool | None,
) -> None:
    """Inserts and snapshot rows with an event type are taken (FL-43, CD-118)."""
    assert evaluate(filters(*conditions).filters[0], RECORD | changes) is verdict


def test_a_refusal_is_explained(filters: MakeFilters) -> None:
    """Every condition has its value and what came of it; those that stand in the way are named."""
    one = filters(TRUE, asks("header_data.n", "between", "number", min=1, max=9.5)).filters[0]
    told = explain(one, RECORD | {"__op": "d"})
    assert (told.filter_id, told.verdict) == ("one", False)
    assert [(each.text, each.found, each.verdict, each.implied) for each in told.checks] == [
        ("id equals 'e-1'", "e-1", True, False),
        ("header_data.n between 1 and 9.5", "10.0", False, False),
        ("event_type is not blank", "CarCreated", True, True),
        ("__op in ['c', 'r']", "d", False, True),
    ]
    assert [each.text for each in told.decisive] == ["header_data.n between 1 and 9.5", "__op in ['c', 'r']"]


def test_a_match_has_nothing_in_its_way(filters: MakeFilters) -> None:
    """Of conditions joined by OR one is enough, and the others are not to blame."""
    one = filters(FALSE, TRUE, asks("header_data.yes", "in", "boolean", values=[False]), conditionLogic="OR").filters[0]
    told = explain(one, RECORD)
    assert (told.verdict, told.decisive) == (True, ())
    assert told.checks[2].text == "header_data.yes in [false]"
    assert told.checks[2].found == "true"


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ('{"a":"x"}', ".a", "x"),
        ('{"a":"x"}', ".b", None),
        ('{"a":null}', ".a", None),
        ('{"a":{}}', ".a", None),
        ('{"a":[]}', ".a", None),
        ('{"a":[1,"x"]}', ".a[1]", "x"),
        ('{"a":[1,"x"]}', ".a[01]", "x"),
        ('{"a":[1]}', ".a[1]", None),
        ('{"a":[1]}', ".a[99999999999]", None),
        ('[{"a":5}]', "[0].a", "5"),
        ('[{"a":5}]', ".a", None),
        ('{"a":"x"}', ".a[0]", None),
        ('{"a":1,"a":2}', ".a", "2"),
        ('{"a":1,"\\u0061":2}', ".a", "2"),
        ('{"a":true}', ".a", "true"),
        ('{"a":-0}', ".a", "0"),
        ('{"a":-0.0}', ".a", "0.0"),
        ('{"a":1.10}', ".a", "1.10"),
        ('{"a":1e5}', ".a", "1E+5"),
        ('{"a":0.0000001}', ".a", "1E-7"),
        ('{"a":0.12345678901234567890123}', ".a", "0.12345678901234567890123"),
        ('{"a":123456789012345678901234567890}', ".a", "123456789012345678901234567890"),
        ('{"a":"\\ud83d\\ude00"}', ".a", "😀"),
        ('{"a":1} x', ".a", "1"),
        ('{"a":1,}', ".a", None),
        ('{"a":NaN}', ".a", None),
        ('{"a":01}', ".a", None),
        ("{'a':1}", ".a", None),
        ('\ufeff{"a":1}', ".a", None),
        ('{"a":"\n"}', ".a", None),
        ('{"a":' + "1" * 1001 + "}", ".a", None),
        ('{"a":1,"b":1e99999999999}', ".a", None),
        ('{"a":1,"b":1e9999999999999999999}', ".a", None),
        ('{"a":1,"b":' + "[" * 1001 + "]" * 1001 + "}", ".a", None),
        ("", ".a", None),
    ],
)
def test_a_path_leads_to_text_or_to_null(text: str, path: str, value: str | None) -> None:
    """As Flink's JSON_VALUE reads the same document (FL-7)."""
    assert json_value(text, path) == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(
            ("1", "1"),
            (" \t\n1\n", "1"),
            ("1e2", "100"),
            ("+5.", "5"),
            ("-.5", "-0.5"),
            ("1E-18", "1e-18"),
            ("0e999", "0"),
        ),
        *(("0.1234567890123456785", "0.123456789012345679"), ("-0.0000000000000000005", "-1e-18"), ("1e-30", "0")),
        ("99999999999999999999.9999999999999999994", "99999999999999999999.999999999999999999"),
        *(
            (text, None)
            for text in ("99999999999999999999.9999999999999999995", "100000000000000000000", "1e20", "1e999")
        ),
        *(
            (text, None)
            for text in ("", " ", ".", "1.2.3", "1 2", "1_0", "٣", "0x1", "1d", "NaN", "Infinity", "\r1", "1e")
        ),
        *((text, None) for text in ("1e0001", "1e3000000", "1" * 101 + "e-99")),
    ],
)
def test_a_number_is_a_decimal_of_38_digits(text: str, number: str | None) -> None:
    """20 digits before the point and 18 after, rounded half up; a huge exponent costs nothing (FL-14, FL-15)."""
    found = as_number(text)
    assert (None if found is None else found.normalize()) == (None if number is None else as_number(number))


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (("true", "TRUE", "t", "yes", "Y", "1"), True),
        (("false", "False", "f", "NO", "n", "0"), False),
        (("", " true", "on", "off", "1.0", "01", "\uff54rue"), None),
    ],
)
def test_a_boolean_is_one_of_few_words(texts: tuple[str, ...], value: bool | None) -> None:
    """As Flink casts them; everything else is null (FL-15)."""
    assert {as_boolean(text) for text in texts} == {value}


NEW_YEAR = 1_767_225_600_000_000


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-01T00:00:00Z", NEW_YEAR),
        ("2026-01-01 00:00:00", NEW_YEAR),
        ("2026-01-01T02:00:00.000001+0200", NEW_YEAR + 1),
        ("2025-12-31T19:00:00.1234569-05:00", NEW_YEAR + 123_456),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ("0001-01-01T00:00:00+01:00", -62_135_600_400_000_000),
        *((f"{day}T00:00:00Z", None) for day in ("2026-02-29", "2026-02-30", "1900-02-29", "2026-04-31", "0000-01-01")),
        *((f"2026-01-01T{time}", None) for time in ("24:00:00", "23:59:60", "00:00", "00:00:00z", "00:00:00+24:00")),
        *((f"2026-01-01T00:00:00{end}", None) for end in ("Z\n", "\n", "+02", ",5", ".", " Z")),
        *((text, None) for text in ("", "2026-01-01", " 2026-01-01T00:00:00Z", "٢026-01-01T00:00:00Z")),
    ],
)
def test_a_timestamp_is_an_instant(text: str, instant: int | None) -> None:
    """To the microsecond, on a day that exists; everything else is null (FL-14)."""
    assert as_instant(text) == instant
