"""The choice of topics: grouping filters by what they ask for changes what is looked at, and never what is found."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flink_jobs import FilterSet, parse_filters
from flink_jobs.columns import TEXT_COLUMNS
from flink_jobs.conditions import Condition
from flink_jobs.dispatch import topics_expression
from flink_jobs.filters import Filter, Logic
from flink_jobs.routing import PAGE, Group, Routing, Table, route

Json = dict[str, Any]
MakeFilters = Callable[..., FilterSet]
Record = dict[str, str | None]

VALUES = ["A", "B", "C", " ", "", "a'b"]
FIELDS = ["event_type", "event_name", "__op", "__table", "header_data.a", "header_data.b[0]"]


def conditions() -> st.SearchStrategy[Json]:
    """Draw one condition on a text column or a path."""
    field, value = st.sampled_from(FIELDS), st.sampled_from(VALUES)
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
    # Most filters ask for a value of one or two fields; of those alone there are tables.
    asks = st.builds(
        lambda f, v: {"field": f, "operator": "equals", "value": v},
        st.sampled_from(FIELDS[:2] + FIELDS[4:5]),
        st.sampled_from(VALUES),
    )
    bodies = st.one_of(st.lists(asks, min_size=1, max_size=2), st.lists(conditions(), min_size=1, max_size=3))
    for number in range(draw(st.integers(1, 40))):
        body = {
            "id": f"f-{number}",
            "name": "x",
            "consumerId": "c",
            "outputTopic": f"t-{number}",
            "conditionLogic": draw(st.sampled_from(["AND", "OR"])),
            "conditions": draw(bodies),
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


def implied(one: Filter, record: Record) -> bool:
    """Tell whether a record is what every filter asks for unless it speaks of it (FL-43, CD-118)."""
    about = {each.field for each in one.conditions}
    asks_for_null = any((each.field, each.operator) == ("event_type", "isNull") for each in one.conditions)
    written = "__op" in about or record["__op"] in {"c", "r"}
    return written and (asks_for_null or bool((record["event_type"] or "").strip(" ")))


def topics(routing: Routing, record: Record) -> list[str]:
    """Return the topics of a record by way of the grouping, repeats kept."""
    header = {"a": record["header_data.a"], "b": [record["header_data.b[0]"]]}
    groups = routing.candidates({**record, "header_data": json.dumps(header)})
    return [group.topic for group in groups if matches(group.one, record) and implied(group.one, record)]


@given(
    filter_sets(), st.fixed_dictionaries(dict.fromkeys([*TEXT_COLUMNS, *FIELDS], st.sampled_from([None, *VALUES, "c"])))
)
def test_the_grouping_gives_the_topics_that_the_filters_give_one_by_one(filters: FilterSet, record: Record) -> None:
    """Nulls, ORs, paths, shared topics and several matches included, each topic comes exactly once (FL-13, FL-16)."""
    one_by_one = {each.output_topic for each in filters.filters if matches(each, record) and implied(each, record)}
    assert sorted(topics(route(filters.filters), record)) == sorted(one_by_one)


@given(filter_sets())
def test_every_filter_has_its_place_and_only_tables_hold_it_more_than_once(filters: FilterSet) -> None:
    """No topic is in two places, but for the values of one table that lead to it (FL-16)."""
    routing = route(filters.filters)
    arms = [*routing.tables, *routing.rest, *(arm for page in routing.pages for arm in page.arms)]
    by_table = [
        (arm.field, arm.under, value, group.topic)
        for arm in arms
        if isinstance(arm, Table)
        for value, group in arm.groups.items()
    ]
    alone = [arm.topic for arm in arms if isinstance(arm, Group)]
    tabled = {topic for *_place, topic in by_table}
    assert len(by_table) == len(set(by_table))
    assert len({(field, under, topic) for field, under, _value, topic in by_table}) == len(tabled)
    assert sorted([*alone, *tabled]) == sorted({each.output_topic for each in filters.filters})


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


def test_a_hundred_filters_on_a_type_are_one_table() -> None:
    """They cost one look-up, however many there are; what else they share stands once beside it (FL-48)."""
    text = topics_expression(of_types(*(f"T{number}" for number in range(100))).filters, "-flink")
    assert text.count("CASE") == text.count("topic_of(`event_type`, '{") == text.count("`__op` IN ('c', 'r')") == 1
    assert '  "T7": "t-7-flink",\n' in text


def test_filters_on_a_type_and_a_path_are_one_table_for_each_type(filters: MakeFilters) -> None:
    """The path is looked up only for records of the type (FL-20)."""
    made = [
        each
        for number in range(3)
        for each in filters(
            {"field": "header_data.dealerId", "operator": "equals", "value": f"D{number}"},
            {"field": "event_type", "operator": "equals", "value": "Service"},
            outputTopic=f"t-{number}",
        ).filters
    ]
    text = topics_expression(made, "")
    assert text.count("CASE") == 1
    assert "CASE WHEN `event_type` = 'Service' AND `__op` IN ('c', 'r') THEN topic_of(header_value(" in text
    assert '  "D1": "t-1",\n' in text


def test_many_predicates_are_put_behind_the_values_they_ask_for(filters: MakeFilters) -> None:
    """A page of them is tried only by records with one of its values, and each stands in one place (FL-48)."""
    count = 40
    made = [
        each
        for number in range(count)
        for each in filters(
            {"field": "event_type", "operator": "in", "values": [f"A{number:02}", f"B{number:02}"]},
            {"field": "event_name", "operator": "matches", "value": f"x{number}.*"},
            outputTopic=f"t-{number}",
        ).filters
    ]
    routing = route(made)
    assert [len(page.arms) for page in routing.pages] == [PAGE, PAGE, count - 2 * PAGE]
    assert not routing.rest
    text = topics_expression(made, "")
    assert text.count("CASE WHEN `event_type` IN ('A") == count + len(routing.pages)
    assert text.count("REGEXP(") == count


def test_values_keep_their_quotes_in_a_table() -> None:
    """A table is JSON within SQL; both are escaped (FL-14)."""
    text = topics_expression(of_types("A", 'it\'s "so"\n').filters, "-flink")
    assert '"it\'\'s \\"so\\"\\n": "t-1-flink"' in text


def test_filters_that_differ_in_a_value_alone_share_what_else_they_ask_for(filters: MakeFilters) -> None:
    """A pattern stands once for all of them, and only records with one of the values are held against it (FL-48)."""
    made = [
        each
        for number in range(3)
        for each in filters(
            {"field": "header_data.a", "operator": "matches", "value": "x.*"},
            {"field": "event_type", "operator": "in", "values": [f"A{number}", f"B{number}"]},
            outputTopic=f"t-{number}",
        ).filters
    ]
    text = topics_expression(made, "")
    first = (
        "CASE WHEN `event_type` IN ('A0', 'B0', 'A1', 'B1', 'A2', 'B2') AND REGEXP(header_value(`header_data`, '$.a')"
    )
    assert text.count("CASE") == text.count("REGEXP(") == 1
    assert first in text
    assert '  "B2": "t-2"\n' in text


def test_a_long_table_under_a_value_is_parted_as_well(filters: MakeFilters) -> None:
    """Ten thousand dealers of one type are no more of a problem than ten thousand types."""
    body = filters(
        {"field": "event_type", "operator": "equals", "value": "Service"},
        {"field": "header_data.dealerId", "operator": "equals", "value": "D"},
    ).filters[0]
    dealer = body.conditions[1]
    made = [
        body.model_copy(
            update={
                "output_topic": f"t-{number}",
                "conditions": (body.conditions[0], dealer.model_copy(update={"value": f"DEALER-{number:05}"})),
            }
        )
        for number in range(3000)
    ]
    tables = topics_expression(made, "").split("topic_of(")[1:]
    assert len(tables) > 1
    assert all(len(table.split("}')")[0].encode()) < 65_535 for table in tables)


def test_a_long_table_is_parted() -> None:
    """One literal becomes one constant of a class file, which holds 65,535 bytes."""
    types = [f"{number:04}{'é' * 100}" for number in range(1000)]
    text = topics_expression(of_types(*types).filters, "")
    tables = text.split("topic_of(")[1:]
    assert len(tables) > 1
    assert all(len(table.split("}')")[0].encode()) < 65_535 for table in tables)
    assert sum(table.count(': "t-') for table in tables) == len(types)


def test_a_filter_that_asks_for_more_keeps_its_whole_predicate(filters: MakeFilters) -> None:
    """The arm under a value says all that the filter says, so that it can be read by itself."""
    asks = {"field": "event_type", "operator": "equals", "value": "A"}, {"field": "id", "operator": "isNotNull"}
    text = topics_expression([*of_types("A", "B").filters, *filters(*asks).filters], "-flink")
    whole = "`event_type` = 'A' AND `id` IS NOT NULL AND `__op` IN ('c', 'r')"
    assert f"CASE WHEN {whole} THEN CAST('filtered-one-flink' AS STRING) END" in text


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
    named = filters({"field": "event_name", "operator": "in", "values": ["a\n  b", "c\n"]}).filters
    assert "`event_name` IN ('a\n  b', 'c\n')" in topics_expression(named, "")
