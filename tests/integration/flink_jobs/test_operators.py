"""Every operator with every kind of value, as SQL in one job on real Flink (FL-57)."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Json = dict[str, Any]
Record = Callable[..., bytes]
Wait = Callable[..., Any]


def with_header(**fields: object) -> Json:
    """Return the change that gives a record this header document."""
    return {"header_data": json.dumps(fields)}


RECORDS: dict[str, Json] = {
    "plain": {"header_data": "not JSON"},
    "null-name": {"event_name": None},
    "quote": {"event_name": "it's"},
    "lower": {"event_name": "alpha"},
    "lines": {"event_name": "alpha\nbeta"},
    "umlaut": {"event_name": "Ä😀"},
    "early": {"saved_date": "2026-01-01T00:00:00Z"},
    "offset": {"saved_date": "2026-01-01T02:00:00.000001+02:00"},
    "ahead": {"saved_date": "2025-12-31 19:00:00.5-05:00"},
    "no-date": {"saved_date": "soon"},
    "n-9": with_header(n=9),
    "n-10": with_header(n=10),
    "n-text": with_header(n="10.0"),
    "n-fine": with_header(n=10.000000000000001),
    "n-word": with_header(n="ten"),
    "n-null": with_header(n=None),
    "deep": with_header(a={"b": [{"c": "found"}]}),
    "yes": with_header(b=True),
    "no": with_header(b=False),
    "broken": {"header_data": "{"},
    "time-1": {"__ts_ms": 1},
    "update": {"__op": "u"},
}
ALL = frozenset(RECORDS) - {"update"}


def case(expected: set[str] | frozenset[str], *conditions: Json, logic: str = "AND") -> tuple[frozenset[str], Json]:
    """Return what a filter must take, and the filter without its names."""
    return frozenset(expected), {"conditions": list(conditions), "conditionLogic": logic}


def asks(field: str, operator: str, value_type: str = "string", **values: object) -> Json:
    """Return one condition."""
    return {"field": field, "operator": operator, "valueType": value_type, **values}


NAMED = {"null-name", "quote", "lower", "lines", "umlaut"}
DATES = {"early", "offset", "ahead", "no-date"}
NUMBERS = {"n-9", "n-10", "n-text", "n-fine"}

CASES: dict[str, tuple[frozenset[str], Json]] = {
    "equals-quote": case({"quote"}, asks("event_name", "equals", value="it's")),
    "equals-unicode": case({"umlaut"}, asks("event_name", "equals", value="Ä😀")),
    "equals-lines": case({"lines"}, asks("event_name", "equals", value="alpha\nbeta")),
    "equals-hostile": case(set(), asks("event_name", "equals", value="x' OR '1'='1")),
    "in": case({"quote", "lower"}, asks("event_name", "in", values=["it's", "alpha"])),
    "not-in": case(ALL - {"null-name", "quote"}, asks("event_name", "notIn", values=["it's"])),
    "greater": case(NAMED - {"null-name"}, asks("event_name", "greaterThan", value="Car Created")),
    "less": case(ALL - NAMED, asks("event_name", "lessThan", value="alpha")),
    "greater-equal": case(NAMED - {"null-name"}, asks("event_name", "greaterThanOrEqual", value="alpha")),
    "less-equal": case(ALL - NAMED | {"lower"}, asks("event_name", "lessThanOrEqual", value="alpha")),
    "between": case({"lower", "lines", "quote"}, asks("event_name", "between", min="alpha", max="it's")),
    "matches-whole": case({"lower"}, asks("event_name", "matches", value="al[p]ha")),
    "matches-branch": case({"lower", "quote"}, asks("event_name", "matches", value="alpha|it's")),
    "matches-lines": case({"lower", "lines"}, asks("event_name", "matches", value="(?s)alpha.*")),
    "is-null": case({"null-name"}, asks("event_name", "isNull")),
    "is-not-null": case(ALL - {"null-name"}, asks("event_name", "isNotNull")),
    "number-equals": case({"n-10", "n-text"}, asks("header_data.n", "equals", "number", value=10)),
    "number-greater": case({"n-10", "n-text", "n-fine"}, asks("header_data.n", "greaterThan", "number", value=9.5)),
    "number-less": case({"n-9"}, asks("header_data.n", "lessThan", "number", value=10)),
    "number-between": case(NUMBERS - {"n-fine"}, asks("header_data.n", "between", "number", min=9, max=10)),
    "number-in": case({"n-9"}, asks("header_data.n", "in", "number", values=[9, 0.5])),
    "number-not-in": case({"n-10", "n-text", "n-fine"}, asks("header_data.n", "notIn", "number", values=[9])),
    "number-vast": case(NUMBERS, asks("header_data.n", "lessThan", "number", value=10**19)),
    "path-is-null": case(ALL - NUMBERS - {"n-word"}, asks("header_data.n", "isNull")),
    "path-deep": case({"deep"}, asks("header_data.a.b[0].c", "equals", value="found")),
    "path-not-plain": case(set(), asks("header_data.a", "isNotNull")),
    "true": case({"yes"}, asks("header_data.b", "equals", "boolean", value=True)),
    "not-true": case({"no"}, asks("header_data.b", "notIn", "boolean", values=[True])),
    "instant-equals": case({"early"}, asks("saved_date", "equals", "timestamp", value="2026-01-01T01:00:00+01:00")),
    "instant-after": case(
        ALL - {"early", "no-date"}, asks("saved_date", "greaterThan", "timestamp", value="2026-01-01T00:00:00Z")
    ),
    "instant-between": case(
        {"early", "offset"},
        asks("saved_date", "between", "timestamp", min="2026-01-01T00:00:00Z", max="2026-01-01T00:00:00.000001Z"),
    ),
    "instant-before": case(
        {"early", "offset", "ahead"}, asks("saved_date", "lessThan", "timestamp", value="2026-01-02 00:00:00")
    ),
    "capture-number": case({"time-1"}, asks("__ts_ms", "lessThan", "number", value=2)),
    "capture-instant": case({"time-1"}, asks("__ts_ms", "equals", "timestamp", value="1970-01-01T00:00:00.001Z")),
    "either": case(
        {"quote", "yes"},
        asks("event_name", "equals", value="it's"),
        asks("header_data.b", "equals", "boolean", value=True),
        logic="OR",
    ),
    "both": case({"time-1"}, asks("__ts_ms", "equals", "number", value=1), asks("event_name", "isNotNull")),
    "updates": case({"update"}, asks("__op", "equals", value="u")),
    "either-with-op": case(
        {"update", "quote"},
        asks("__op", "equals", value="u"),
        asks("event_name", "equals", value="it's"),
        logic="OR",
    ),
}


@pytest.fixture(scope="module")
def answers(make_stage: Callable[[], Any], record: Record, wait_for: Wait) -> Iterator[dict[str, frozenset[str]]]:
    """Run all filters over all records once, and give what each has taken."""
    stage = make_stage()
    names = {"name": "x", "consumerId": "c", "enabled": True}
    filters = [{**names, "id": key, "outputTopic": f"op-{key}", **body} for key, (_, body) in CASES.items()]
    end = {**names, "id": "end", "outputTopic": "op-end", "conditions": [asks("id", "matches", value="end-.*")]}
    stage.use({"version": 1, "filters": [*filters, end]})
    stage.create_topics(*(f"op-{key}" for key in (*CASES, "end")))
    stage.submit()
    stage.produce([record(key, **changes) for key, changes in RECORDS.items()])
    stage.produce([record("end-0")])
    wait_for(lambda: stage.ids(stage.filtered("op-end")), "the last record is through")
    yield {key: frozenset(stage.ids(stage.filtered(f"op-{key}"))) - {"end-0"} for key in CASES}
    stage.stop()


@pytest.mark.parametrize("key", CASES)
def test_a_filter_takes_exactly_what_it_says(answers: dict[str, frozenset[str]], key: str) -> None:
    """Text, numbers, booleans and instants; null satisfies nothing but `isNull` (FL-9 to FL-15, FL-43)."""
    assert answers[key] == CASES[key][0]
