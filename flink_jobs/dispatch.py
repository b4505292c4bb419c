"""Owns the choice of topics in SQL: one array expression over the columns of a record, null where no topic is meant.

Filters that ask for a value alone are lines of a table, which is data and no code; every other keeps its predicate, and
stands where the values it asks for lead. Must never decide which filter is asked: `routing` does. Facts: FL-33, FL-48.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from flink_jobs.columns import Field
from flink_jobs.filters import Filter
from flink_jobs.predicates import filter_predicate, reference, text_literal
from flink_jobs.rendering import comment, label
from flink_jobs.routing import Arm, Group, Page, Table, route

HEADER_VALUE: Final = "header_value"
"""Our function that is JSON_VALUE, evaluated once for each path of a record."""

TOPIC_OF: Final = "topic_of"
"""Our function that looks a value up in a table, a JSON object of topics by value."""

_TABLE_BYTES: Final = 30_000
"""The most of one table: in the code that Flink generates it is one constant, and Java's have at most 65,535 bytes."""

_QUOTED_OR_JSON_VALUE: Final = re.compile(r"('(?:[^']|'')*'|`(?:[^`]|``)*`)|\bJSON_VALUE\(")

_NO_TOPIC: Final = "ARRAY[CAST(NULL AS STRING)]"

_Lines = list[str]
"""A text by its lines, so that it can be indented; a value with line breaks is part of one line and stays as it is."""


def topics_expression(active: Sequence[Filter], suffix: str) -> str:
    """Return an array of text whose elements, nulls apart, are the topics of a record, each once.

    Args:
        active: The filters of the job, at least one.
        suffix: Appended to the output topic of each.
    """
    routing = route(active)
    always = _arms((*routing.tables, *routing.rest), suffix)
    parts = [["ARRAY[", *_indented(_joined(always)), "]"]] if always else []
    parts += [_page(each, suffix) for each in routing.pages]
    return "\n".join(parts[0] if len(parts) == 1 else ["ARRAY_CONCAT(", *_indented(_joined(parts)), ")"])


def group_predicate(group: Group) -> str:
    """Return the predicate that the filters of a group share, with our function in the place of JSON_VALUE."""
    return _with_our_function(filter_predicate(group.one))


def _with_our_function(text: str) -> str:
    # What stands between quotes is a value or a name and stays as it is.
    return _QUOTED_OR_JSON_VALUE.sub(lambda found: found[1] or f"{HEADER_VALUE}(", text)


def _page(page: Page, suffix: str) -> _Lines:
    """Return the array of the topics that some records are tested for; the others go on without a topic."""
    arms = ["ARRAY[", *_indented(_joined(_arms(page.arms, suffix))), "]"]
    listed = ", ".join(map(text_literal, page.values))
    head = f"CASE WHEN {_operand(page.field)} IN ({listed}) THEN {arms[0]}"
    # ARRAY_CONCAT takes no null.
    return [head, *arms[1:], f"ELSE {_NO_TOPIC} END"]


def _arms(arms: Sequence[Arm], suffix: str) -> list[_Lines]:
    """Return the elements of an array: one of each group, and of each table as many as its length asks for."""
    return [
        lines
        for arm in arms
        for lines in (
            [_table(part, suffix) for part in _chunks(arm, suffix)] if isinstance(arm, Table) else [_group(arm, suffix)]
        )
    ]


def _table(table: Table, suffix: str) -> _Lines:
    """Return the one topic that a table has for a record, or null."""
    named = [f"-- {comment(value)}: {label(each)}" for value, group in table.groups.items() for each in group.filters]
    entries = ",\n".join(_entry(value, group, suffix) for value, group in table.groups.items())
    # One line here, although it has breaks: nothing may be put into a text between quotes.
    looked_up = f"{TOPIC_OF}({_operand(table.field)}, {text_literal(f'{{{chr(10)}{entries}{chr(10)}}}')})"
    asked = [f"{_operand(table.under[0])} = {text_literal(table.under[1])}"] if table.under else []
    if not table.cheap:
        # What takes more is asked only of records that have one of the values.
        asked.append(f"{_operand(table.field)} IN ({', '.join(map(text_literal, table.groups))})")
    asked += map(_with_our_function, table.beside)
    return [*named, f"CASE WHEN {' AND '.join(asked)} THEN {looked_up} END"]


def _entry(value: str, group: Group, suffix: str) -> str:
    return f"  {json.dumps(value, ensure_ascii=False)}: {json.dumps(group.topic + suffix)}"


def _chunks(table: Table, suffix: str) -> Iterator[Table]:
    """Yield a table in parts that are not too long for one literal."""
    part: dict[str, Group] = {}
    size = 0
    for value, group in table.groups.items():
        length = len(_entry(value, group, suffix).encode()) + 2
        if part and size + length > _TABLE_BYTES:
            yield replace(table, groups=part)
            part, size = {}, 0
        part[value] = group
        size += length
    yield replace(table, groups=part)


def _operand(field: Field) -> str:
    return _with_our_function(reference(field))


def _group(group: Group, suffix: str) -> _Lines:
    """Return the topic of a group where its predicate holds, or null.

    The cast is what keeps long names whole: for arrays in a CASE, Flink takes the longest text of the first one as the
    type of all, and cuts what is longer.
    """
    names = [f"-- {label(each)}" for each in group.filters]
    topic = f"CAST({text_literal(group.topic + suffix)} AS STRING)"
    return [*names, f"CASE WHEN {group_predicate(group)} THEN {topic} END"]


def _joined(parts: Sequence[_Lines]) -> _Lines:
    """Return the parts one after the other, a comma after each but the last."""
    commas = [[*part[:-1], f"{part[-1]},"] for part in parts[:-1]]
    return [line for part in (*commas, parts[-1]) for line in part]


def _indented(lines: _Lines, by: int = 2) -> _Lines:
    return [" " * by + line for line in lines]
