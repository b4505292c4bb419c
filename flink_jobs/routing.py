"""Owns the choice of topics in SQL: one array expression over the columns of a record, null where no topic is meant.

A filter that can only match a few values of a column is looked at only by records with one of them, so that a record's
cost follows from the filters it may match and not from how many there are. That is all the grouping does: every filter
keeps its whole predicate. Must never know tables, connectors or how the array is written to Kafka.
Facts: FL-16, FL-33, FL-48.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flink_jobs.conditions import Condition, Operator, ValueType
from flink_jobs.filters import Filter, Logic
from flink_jobs.predicates import condition_predicate, filter_predicate, identifier, text_literal
from flink_jobs.rendering import label

HEADER_VALUE: Final = "header_value"
"""Our function that is JSON_VALUE, evaluated once for each path of a record."""

NOT_DISPATCHED: Final = "__op"
"""Nearly every filter asks for the same two operations and nearly every record has one: nothing is gained by it."""

_PAGE: Final = 16
"""Values are compared one after the other within a page of so many, and pages are chosen by one look-up each."""

_QUOTED_OR_JSON_VALUE: Final = re.compile(r"('(?:[^']|'')*'|`(?:[^`]|``)*`)|\bJSON_VALUE\(")

_INSERTED: Final = "`__op` IN ('c', 'r')"
_NO_TOPIC: Final = "ARRAY[CAST(NULL AS STRING)]"


@dataclass(frozen=True, slots=True)
class Group:
    """Hold the filters of one topic, which have equal conditions (FL-16), so that the topic gets a record once."""

    topic: str
    filters: tuple[Filter, ...]

    @property
    def predicate(self) -> str:
        """Return the predicate that they share, with our function in the place of JSON_VALUE."""
        # What stands between quotes is a value or a name and stays as it is.
        return _QUOTED_OR_JSON_VALUE.sub(
            lambda found: found[1] or f"{HEADER_VALUE}(", filter_predicate(self.filters[0])
        )


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Say which groups a record is tested against, by its value in one column; others cannot match it.

    Attributes:
        column: The column.
        plain: Tables from value to group, for groups that ask for nothing more than the value, inserted.
        branches: The other groups by value.
    """

    column: str
    plain: tuple[dict[str, Group], ...]
    branches: dict[str, tuple[Group, ...]]

    def asked(self, value: str) -> Iterator[Group]:
        """Yield the groups that a record with this value is tested against."""
        yield from (table[value] for table in self.plain if value in table)
        yield from self.branches.get(value, ())


@dataclass(frozen=True, slots=True)
class Routing:
    """Hold every group once by column, or among those that each record is tested against."""

    dispatches: tuple[Dispatch, ...]
    rest: tuple[Group, ...]

    def candidates(self, record: dict[str, str | None]) -> list[Group]:
        """Return the groups that the SQL tests a record against, given its text columns."""
        found = list(self.rest)
        for each in self.dispatches:
            value = record[each.column]
            found += each.asked(value) if value is not None else ()
        return found


def route(active: Sequence[Filter]) -> Routing:
    """Group filters by topic, and the groups by the column whose values decide about most of them."""
    by_topic: dict[str, list[Filter]] = {}
    for each in active:
        by_topic.setdefault(each.output_topic, []).append(each)
    groups = [Group(topic, tuple(filters)) for topic, filters in by_topic.items()]
    deciding = [_deciding(group.filters[0]) for group in groups]
    popular = Counter(column for values in deciding for column in values)
    rest: list[Group] = []
    branches: dict[str, dict[str, list[Group]]] = {}
    for group, values in zip(groups, deciding, strict=True):
        # Of equally popular ones the first that the filter names, so that equal input gives equal text.
        column = max(values, key=lambda name: popular[name], default=None)
        if column is None or popular[column] == 1:
            rest.append(group)
            continue
        for value in values[column]:
            branches.setdefault(column, {}).setdefault(value, []).append(group)
    return Routing(tuple(_split(column, values) for column, values in branches.items()), tuple(rest))


def _split(column: str, values: dict[str, list[Group]]) -> Dispatch:
    plain: list[dict[str, Group]] = []
    others: dict[str, tuple[Group, ...]] = {}
    for value, groups in values.items():
        simple = [group for group in groups if _is_plain(group, column)]
        for rank, group in enumerate(simple):
            if rank == len(plain):
                plain.append({})
            plain[rank][value] = group
        if len(simple) < len(groups):
            others[value] = tuple(group for group in groups if not _is_plain(group, column))
    return Dispatch(column, tuple(plain), others)


def _is_plain(group: Group, column: str) -> bool:
    """Tell whether a predicate is no more than the values of the column and the usual operations, word by word."""
    one = group.filters[0]
    wanted = [condition_predicate(each) for each in one.conditions if each.target.column == column]
    return len(wanted) == 1 and group.predicate == f"{wanted[0]} AND {_INSERTED}"


def topics_expression(active: Sequence[Filter], suffix: str) -> str:
    """Return an array of text whose elements, nulls apart, are the topics of a record, each once.

    Args:
        active: The filters of the job, at least one.
        suffix: Appended to the output topic of each.
    """
    routing = route(active)
    single = [_plain(each.column, table, suffix) for each in routing.dispatches for table in each.plain]
    single += [_arm(group, suffix) for group in routing.rest]
    branching = [each for each in routing.dispatches if each.branches]
    alone = len(branching) + bool(single) == 1
    parts = [_array(single)] if single else []
    parts += [_branches(each, suffix, alone=alone) for each in branching]
    return "\n".join(parts[0] if alone else ["ARRAY_CONCAT(", *_indented(_joined(parts)), ")"])


def _deciding(one: Filter) -> dict[str, tuple[str, ...]]:
    """Return, for each text column, the values without which a filter cannot match; columns it leaves open are absent.

    An OR decides only when all of it asks for values of the same column.
    """
    found: dict[str, tuple[str, ...]] = {}
    wanted = [(each.target.column, tuple(map(str, each.operands))) for each in one.conditions if _asks_for_values(each)]
    if one.condition_logic is Logic.AND or len(one.conditions) == 1:
        for column, values in wanted:
            found.setdefault(column, tuple(dict.fromkeys(values)))
    elif len(wanted) == len(one.conditions) and len({column for column, _values in wanted}) == 1:
        found[wanted[0][0]] = tuple(dict.fromkeys(value for _column, values in wanted for value in values))
    return found


def _asks_for_values(condition: Condition) -> bool:
    target = condition.target
    return (
        condition.operator in {Operator.EQUALS, Operator.IN}
        and condition.value_type is ValueType.STRING
        and not target.path
        and target.column != NOT_DISPATCHED
    )


_Lines = list[str]
"""A text by its lines, so that it can be indented; a value with line breaks is part of one line and stays as it is."""


def _plain(column: str, table: dict[str, Group], suffix: str) -> _Lines:
    """Return the one topic that a table has for a record, or null."""

    def when(value: str) -> _Lines:
        names = [f"-- {label(each)}" for each in table[value].filters]
        return [*names, f"WHEN {text_literal(value)} THEN {_topic(table[value], suffix)}"]

    return [f"CASE WHEN {_INSERTED} THEN", *_indented([*_by_value(column, list(table), when), "END"]), "END"]


def _branches(one: Dispatch, suffix: str, *, alone: bool) -> _Lines:
    """Return the array of the groups that a record's value calls for."""

    def when(value: str) -> _Lines:
        first, *others = _array([_arm(group, suffix) for group in one.branches[value]])
        return [f"WHEN {text_literal(value)} THEN {first}", *others]

    # UNNEST takes null for an array without elements; ARRAY_CONCAT does not.
    end = ["END"] if alone else [f"  ELSE {_NO_TOPIC}", "END"]
    return [*_by_value(one.column, list(one.branches), when), *end]


def _by_value(column: str, values: Sequence[str], when: Callable[[str], _Lines]) -> _Lines:
    """Return a CASE, without its END, over the values of a column; with many of them, one over pages of values."""
    if len(values) <= _PAGE:
        return [f"CASE {identifier(column)}", *_indented([line for value in values for line in when(value)])]
    lines = ["CASE"]
    for start in range(0, len(values), _PAGE):
        page = values[start : start + _PAGE]
        listed = ", ".join(map(text_literal, page))
        lines += [f"  WHEN {identifier(column)} IN ({listed}) THEN"]
        lines += _indented([*_by_value(column, page, when), "END"], 4)
    return lines


def _array(elements: Sequence[_Lines]) -> _Lines:
    return ["ARRAY[", *_indented(_joined(elements)), "]"]


def _arm(group: Group, suffix: str) -> _Lines:
    names = [f"-- {label(each)}" for each in group.filters]
    return [*names, f"CASE WHEN {group.predicate} THEN {_topic(group, suffix)} END"]


def _topic(group: Group, suffix: str) -> str:
    """Return the topic as a text of no fixed length.

    The cast is what keeps long names whole: for arrays in a CASE, Flink takes the longest text of the first one as the
    type of all, and cuts what is longer.
    """
    return f"CAST({text_literal(group.topic + suffix)} AS STRING)"


def _joined(parts: Sequence[_Lines]) -> _Lines:
    """Return the parts one after the other, a comma after each but the last."""
    commas = [[*part[:-1], f"{part[-1]},"] for part in parts[:-1]]
    return [line for part in (*commas, parts[-1]) for line in part]


def _indented(lines: _Lines, by: int = 2) -> _Lines:
    return [" " * by + line for line in lines]
