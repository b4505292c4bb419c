"""What a filter means in SQL, operator by operator."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.conditions import Condition
from flink_jobs.filters import FilterSet
from flink_jobs.predicates import condition_predicate, filter_predicate, identifier, text_literal

Json = dict[str, Any]
MakeFilters = Callable[..., FilterSet]

_DATE = (
    r"\A(?!\d{4}-(?:02-3|(?:0[469]|11)-31)|(?!\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
    r"\d{4}-02-29)(\d{4}-\d{2}-\d{2})[T ]([01]\d|2[0-3]):\d{2}:\d{2}(\.\d+)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?\z"
)
SAVED = (
    r"TIMESTAMPADD(MINUTE, -COALESCE(CAST(REGEXP_EXTRACT(`saved_date`, '([+-]\d{2}):?\d{2}$', 1) AS INT) * 60"
    r" + CAST(REGEXP_EXTRACT(`saved_date`, '([+-])\d{2}:?\d{2}$', 1)"
    r" || REGEXP_EXTRACT(`saved_date`, '[+-]\d{2}:?(\d{2})$', 1) AS INT), 0),"
    rf" TRY_CAST(REGEXP_EXTRACT(`saved_date`, '{_DATE}', 1)"
    r" || ' ' || REGEXP_EXTRACT(`saved_date`, '[T ](\d{2}:\d{2}:\d{2}(\.\d{1,6})?)', 1) AS TIMESTAMP(6)))"
)
NUMBER = (
    r"TRY_CAST(REGEXP_EXTRACT(JSON_VALUE(`header_data`, '$.n'),"
    r" '\A[ \t\n]*([+-]?[0-9.]{1,100}([eE][+-]?[0-9]{1,3})?)[ \t\n]*\z', 1) AS DECIMAL(38, 18))"
)

MEANINGS: list[tuple[Json, str]] = [
    ({"field": "event_type", "operator": "equals", "value": "CarCreated"}, "`event_type` = 'CarCreated'"),
    ({"field": "event_type", "operator": "in", "values": ["A", "B"]}, "`event_type` IN ('A', 'B')"),
    ({"field": "event_type", "operator": "notIn", "values": ["A"]}, "`event_type` NOT IN ('A')"),
    ({"field": "id", "operator": "greaterThan", "value": "a"}, "CONCAT(`id`, '') > 'a'"),
    ({"field": "id", "operator": "lessThan", "value": "a"}, "CONCAT(`id`, '') < 'a'"),
    ({"field": "id", "operator": "greaterThanOrEqual", "value": "a"}, "CONCAT(`id`, '') >= 'a'"),
    ({"field": "id", "operator": "lessThanOrEqual", "value": "a"}, "CONCAT(`id`, '') <= 'a'"),
    ({"field": "id", "operator": "between", "min": "a", "max": "b"}, "CONCAT(`id`, '') BETWEEN 'a' AND 'b'"),
    ({"field": "id", "operator": "matches", "value": "a|b'"}, r"REGEXP(`id`, '\A(?:a|b'')\z')"),
    (
        {"field": "id", "operator": "matches", "value": "(a|b)*"},
        r"REGEXP(`id`, '\A(?=[\s\S]{0,256}\z)(?:(a|b)*)\z')",
    ),
    ({"field": "id", "operator": "isNull"}, "`id` IS NULL"),
    ({"field": "id", "operator": "isNotNull"}, "`id` IS NOT NULL"),
    ({"field": "header_data", "operator": "equals", "value": "{}"}, "`header_data` = '{}'"),
    ({"field": "header_data.a.b", "operator": "equals", "value": "x"}, "JSON_VALUE(`header_data`, '$.a.b') = 'x'"),
    ({"field": "header_data[0].b", "operator": "isNull"}, "JSON_VALUE(`header_data`, '$[0].b') IS NULL"),
    ({"field": "header_data.n", "operator": "greaterThan", "value": 1.50, "valueType": "number"}, f"{NUMBER} > 1.5"),
    (
        {"field": "header_data.n", "operator": "in", "values": [-1, -(10**19), 0.0000001], "valueType": "number"},
        f"{NUMBER} IN (-1, CAST('-10000000000000000000' AS DECIMAL(38, 18)), 0.0000001)",
    ),
    (
        {"field": "header_data.b", "operator": "equals", "value": True, "valueType": "boolean"},
        "TRY_CAST(JSON_VALUE(`header_data`, '$.b') AS BOOLEAN) = TRUE",
    ),
    ({"field": "__ts_ms", "operator": "lessThan", "value": 7, "valueType": "number"}, "`__ts_ms` < 7"),
    (
        {"field": "__ts_ms", "operator": "in", "values": [7, 0.5], "valueType": "number"},
        "CAST(`__ts_ms` AS DECIMAL(38, 18)) IN (7, 0.5)",
    ),
    (
        {"field": "__ts_ms", "operator": "equals", "value": "2026-01-31T12:00:00+02:00", "valueType": "timestamp"},
        "CAST(TO_TIMESTAMP_LTZ(`__ts_ms`, 3) AS TIMESTAMP(6)) = TIMESTAMP '2026-01-31 10:00:00.000000'",
    ),
    (
        {"field": "saved_date", "operator": "lessThan", "value": "2026-01-31 12:00:00.5", "valueType": "timestamp"},
        f"{SAVED} < TIMESTAMP '2026-01-31 12:00:00.500000'",
    ),
]


@pytest.mark.parametrize(("condition", "sql"), MEANINGS)
def test_each_operator_has_its_sql(condition: Json, sql: str) -> None:
    """Text is compared as text, everything else after a cast that gives null for what does not fit (FL-9 to FL-15)."""
    assert condition_predicate(Condition.model_validate(condition)) == sql


def test_a_filter_without_op_takes_inserts_and_snapshot_rows(filters: MakeFilters) -> None:
    """The operation is asked outside the group of the filter's own conditions (FL-43)."""
    either = filters(
        {"field": "event_type", "operator": "equals", "value": "A"},
        {"field": "id", "operator": "isNull"},
        conditionLogic="OR",
    )
    assert filter_predicate(either.filters[0]) == (
        "(`event_type` = 'A' OR `id` IS NULL) AND TRIM(`event_type`) <> '' AND `__op` IN ('c', 'r')"
    )


def test_a_filter_with_op_is_taken_at_its_word(filters: MakeFilters) -> None:
    """Who names an operation gets it, and it alone (FL-43)."""
    updates = filters(
        {"field": "event_type", "operator": "equals", "value": "A"},
        {"field": "__op", "operator": "equals", "value": "u"},
    )
    assert filter_predicate(updates.filters[0]) == "`event_type` = 'A' AND `__op` = 'u'"


@pytest.mark.parametrize(
    ("condition", "guarded"),
    [
        ({"field": "event_type", "operator": "equals", "value": "A"}, False),
        ({"field": "event_type", "operator": "in", "values": ["A", "B"]}, False),
        ({"field": "event_type", "operator": "in", "values": ["A", "  "]}, True),
        ({"field": "event_type", "operator": "equals", "value": True, "valueType": "boolean"}, True),
        ({"field": "event_type", "operator": "notIn", "values": ["A"]}, True),
        ({"field": "event_type", "operator": "matches", "value": ".*"}, True),
        ({"field": "event_type", "operator": "isNull"}, False),
        ({"field": "id", "operator": "isNotNull"}, True),
    ],
)
def test_a_blank_event_type_matches_nothing_by_accident(
    filters: MakeFilters, condition: Json, *, guarded: bool
) -> None:
    """Every filter that could let a blank type through asks for one, unless it looks for null itself (CD-118)."""
    assert ("TRIM(`event_type`) <> ''" in filter_predicate(filters(condition).filters[0])) is guarded


@given(st.text())
def test_no_text_leaves_its_quotes(text: str) -> None:
    """Between the outer quotes every quote is doubled, and nothing else is changed (FL-14)."""
    for quote, made in (("'", text_literal(text)), ("`", identifier(text))):
        assert (made[0], made[-1]) == (quote, quote)
        assert made[1:-1].replace(quote * 2, "") == text.replace(quote, "")
        assert made[1:-1].replace(quote * 2, quote) == text
