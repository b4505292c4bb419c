"""The choice of topics: grouping filters by what they ask for changes what is looked at, and never what is found."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flink_jobs import FilterSet, parse_filters
from flink_jobs.columns import TEXT_COLUMNS
from flink_jobs.conditions import Condition
from flink_jobs.filters import Filter, Logic
from flink_jobs.routing import NOT_DISPATCHED, Routing, route, topics_expression

Json = dict[str, Any]
MakeFilters = Callable[..., FilterSet]
Record = dict[str, str | None]

VALUES = ["A", "B", "C", " ", "", "a'b"]
COLUMNS = ["event_type", "event_name", "__op", "__table"]


def conditions() -> st.SearchStrategy[Json]:
    """Draw one condition on a text column."""
    field, value = st.sampled_from(COLUMNS), st.sampled_from(VALUES)
    several = st.lists(value, min_size=1, max_size=4)
    return st.one_of(
        st.builds(lambda f, v: {"field": f, "operator": "equals", "value": v}, field, value),
        st.builds(lambda f, v: {"field": f, "operator": "in", "values": v}, field, several),
        st.builds(lambda f, v: {"field": f, "operator": "notIn", "values": v}, field, several),
        st.builds(lambda f, v: {"field": f, "operator": "greaterThan", "value": v}, field, value),
        st.builds(lambda f, o: {"field": f, "operator": o}, field, st.sampled_from(["isNull", "isNotNull"])),
    )


@st.composite
def filter_sets(draw: st.DrawFn) -> FilterSet:
    """Draw filters, some of which share a topic and then have equal conditions."""
    made = []
    for number in range(draw(st.integers(1, 12))):
        body = {
            "id": f"f-{number}",
            "name": "x",
            "consumerId": "c",
            "outputTopic": f"t-{number}",
            "conditionLogic": draw(st.sampled_from(["AND", "OR"])),
            "conditions": draw(st.lists(conditions(), min_size=1, max_size=3)),
        }
        made.append(body)
        if draw(st.booleans()):
            made.append({**body, "id": f"again-{number}"})
    return parse_filters({"version": 1, "filters": made})


def holds(condition: Condition, record: Record) -> bool | None:
    """Tell what one condition is for a record, None being SQL's unknown."""
    value, operands = record[condition.field], [str(each) for each in condition.operands]
    match condition.operator:
        case "isNull":
            return value is None
        case "isNotNull":
            return value is not None
    if value is None:
        return None
    return {
        "equals": value in operands,
        "in": value in operands,
        "notIn": value not in operands,
        "greaterThan": bool(operands) and value > operands[0],
    }[condition.operator.value]


def matches(one: Filter, record: Record) -> bool:
    """Tell whether a filter's conditions, joined by themselves, take a record."""
    found = [holds(each, record) for each in one.conditions]
    return all(found) if one.condition_logic is Logic.AND else any(found)


def topics(routing: Routing, record: Record) -> list[str]:
    """Return the topics of a record by way of the grouping, repeats kept."""
    return [group.topic for group in routing.candidates(record) if matches(group.filters[0], record)]


@given(filter_sets(), st.fixed_dictionaries(dict.fromkeys(TEXT_COLUMNS, st.sampled_from([None, *VALUES]))))
def test_the_grouping_gives_the_topics_that_the_filters_give_one_by_one(filters: FilterSet, record: Record) -> None:
    """Nulls, ORs, shared topics and several matches included, each topic comes exactly once (FL-13, FL-16, FL-43)."""
    one_by_one = {each.output_topic for each in filters.filters if matches(each, record)}
    assert sorted(topics(route(filters.filters), record)) == sorted(one_by_one)


@given(filter_sets())
def test_a_record_reaches_every_topic_by_one_way(filters: FilterSet) -> None:
    """A topic is under one column, once for each value, or among the rest; no record can reach it twice (FL-16)."""
    routing = route(filters.filters)
    places = [{group.topic for group in routing.rest}]
    for each in routing.dispatches:
        asked = {value: [group.topic for group in each.asked(value)] for value in VALUES}
        assert all(len(found) == len(set(found)) for found in asked.values())
        places.append({topic for found in asked.values() for topic in found})
    assert sum(map(len, places)) == len(set().union(*places)) == len({each.output_topic for each in filters.filters})
    assert all(each.column != NOT_DISPATCHED for each in routing.dispatches)


def of_types(*types: str) -> FilterSet:
    """Return one filter for each event type."""
    bodies = [
        {
            "id": f"f-{index}",
            "name": name,
            "consumerId": "c",
            "outputTopic": f"t-{index}",
            "conditions": [{"field": "event_type", "operator": "equals", "value": name}],
        }
        for index, name in enumerate(types)
    ]
    return parse_filters({"version": 1, "filters": bodies})


def test_a_record_is_tested_against_the_filters_of_its_type_alone() -> None:
    """With a hundred types there is one candidate, and none for a type that no filter names."""
    routing = route(of_types(*(f"T{number}" for number in range(100))).filters)
    blank: Record = dict.fromkeys(TEXT_COLUMNS)
    assert [group.topic for group in routing.candidates({**blank, "event_type": "T7"})] == ["t-7"]
    assert routing.candidates({**blank, "event_type": "other"}) == []
    assert routing.candidates(blank) == []


def test_many_values_are_found_by_pages() -> None:
    """No record is compared with a hundred values one after the other, and no expression nests a hundred deep."""
    text = topics_expression(of_types(*(f"T{number}" for number in range(100))).filters, "-flink")
    assert text.count("WHEN `event_type` IN (") == 7
    assert max(len(re.findall(r"\n +WHEN 'T", page)) for page in text.split("WHEN `event_type` IN (")) == 16


def test_a_filter_that_asks_for_a_value_alone_is_one_line_of_a_table() -> None:
    """What such filters share, inserted rows, stands once above the table (FL-18, FL-43)."""
    text = topics_expression(of_types("A", "it's").filters, "-flink")
    assert text.count("`__op` IN ('c', 'r')") == 1
    assert "WHEN 'it''s' THEN CAST('t-1-flink' AS STRING)" in text


def test_a_filter_that_asks_for_more_keeps_its_whole_predicate(filters: MakeFilters) -> None:
    """The arm under a value says all that the filter says, so that it can be read by itself."""
    asks = {"field": "event_type", "operator": "equals", "value": "A"}, {"field": "id", "operator": "isNotNull"}
    text = topics_expression([*of_types("A", "B").filters, *filters(*asks).filters], "-flink")
    whole = "`event_type` = 'A' AND `id` IS NOT NULL AND `__op` IN ('c', 'r')"
    assert f"CASE WHEN {whole} THEN CAST('filtered-one-flink' AS STRING) END" in text


def test_every_topic_is_cast_so_that_no_name_is_cut() -> None:
    """Flink would give arrays in a CASE the length of the first one's names, and cut the others."""
    text = topics_expression(of_types("A", "B").filters, "-flink")
    assert text.count("THEN CAST('t-") == 2


def test_a_path_is_looked_up_once_for_a_record(filters: MakeFilters) -> None:
    """Our function stands where JSON_VALUE was, and text in quotes stays what it is."""
    text = topics_expression(
        filters(
            {"field": "header_data.a", "operator": "equals", "value": "JSON_VALUE(`x`"},
            {"field": "header_data.b", "operator": "isNull"},
        ).filters,
        "",
    )
    assert (
        "header_value(`header_data`, '$.a') = 'JSON_VALUE(`x`' AND header_value(`header_data`, '$.b') IS NULL" in text
    )


def test_line_breaks_in_a_value_are_kept(filters: MakeFilters) -> None:
    """The script is indented, and the text between quotes is not (FL-14)."""
    text = topics_expression(
        [
            *filters({"field": "event_name", "operator": "equals", "value": "a\n  b"}).filters,
            *filters({"field": "event_name", "operator": "in", "values": ["a\n  b", "c\n"]}, outputTopic="two").filters,
        ],
        "",
    )
    assert "WHEN 'a\n  b' THEN ARRAY[" in text
    assert "`event_name` IN ('a\n  b', 'c\n')" in text
