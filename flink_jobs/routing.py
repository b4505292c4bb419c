"""Owns which filters a record is tested against: filters are grouped by the values without which they cannot match.

That is all the grouping does: a record's cost follows from the filters it may match and not from how many there are,
and every filter keeps its whole meaning. Must never know connectors or how a choice is written as SQL (see `dispatch`).
Facts: FL-16, FL-43, FL-48.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flink_jobs.columns import Field
from flink_jobs.conditions import Condition, Operator, ValueType
from flink_jobs.filters import Filter, Logic
from flink_jobs.predicates import condition_predicate, predicate_parts
from flink_jobs.values import json_value

NOT_DISPATCHED: Final = "__op"
"""Nearly every filter asks for the same two operations and nearly every record has one: nothing is gained by it."""

PAGE: Final = 16
"""So many predicates are tried one after the other; more of them are put behind a test of the value they ask for."""

_Values = dict[Field, tuple[str, ...]]
"""For each field, the values without which a filter cannot match; fields that it leaves open are absent."""


@dataclass(frozen=True, slots=True)
class Group:
    """Hold the filters of one topic, which have equal conditions (FL-16), so that the topic gets a record once."""

    topic: str
    filters: tuple[Filter, ...]

    @property
    def one(self) -> Filter:
        """Return a filter that stands for all of them."""
        return self.filters[0]


@dataclass(frozen=True, slots=True)
class Table:
    """Hold groups that ask for a value of one field, and differ in nothing else.

    Attributes:
        field: The field.
        groups: The group of each value.
        under: A column and its value that all of them ask for, or None.
        beside: What else all of them ask for, as predicates.
        cheap: Whether that is no more than the operation, and that the type is not blank.
    """

    field: Field
    groups: dict[str, Group]
    under: tuple[Field, str] | None
    beside: tuple[str, ...]
    cheap: bool


Arm = Group | Table
"""What a record is tested against: a group by its whole predicate, or a table."""


@dataclass(frozen=True, slots=True)
class Page:
    """Hold arms that only records with one of these values in a field can match."""

    field: Field
    values: tuple[str, ...]
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """Hold every group once, or a table's once for each of its values.

    Attributes:
        tables: Where every record looks its values up.
        pages: What only some records are tested against.
        rest: What every record is tested against.
    """

    tables: tuple[Table, ...]
    pages: tuple[Page, ...]
    rest: tuple[Arm, ...]

    def candidates(self, record: Mapping[str, str | None]) -> Iterator[Group]:
        """Yield the groups that a record is tested against, given its text columns; others cannot match it."""
        opened = (page for page in self.pages if _value(record, page.field) in page.values)
        for arm in (*self.tables, *self.rest, *(arm for page in opened for arm in page.arms)):
            if isinstance(arm, Group):
                yield arm
            elif arm.under is None or _value(record, arm.under[0]) == arm.under[1]:
                value = _value(record, arm.field)
                if value is not None and value in arm.groups:
                    yield arm.groups[value]


def _value(record: Mapping[str, str | None], field: Field) -> str | None:
    text = record.get(field.column)
    return json_value(text, field.path) if field.path and text is not None else text


def route(active: Sequence[Filter]) -> Routing:
    """Group filters by topic, and the groups by what they ask for."""
    by_topic: dict[str, list[Filter]] = {}
    for each in active:
        by_topic.setdefault(each.output_topic, []).append(each)
    tables: list[Table] = []
    others: list[Arm] = []
    # Of the same key are groups that differ in nothing but the values they ask for, and the topic.
    for key, members in _by_key([Group(topic, tuple(filters)) for topic, filters in by_topic.items()]).items():
        # A filter by itself is easier to read as what it says.
        if key is None or len(members) == 1:
            others += members
        elif key.under is None and key.cheap:
            tables += _tables(key, members)
        else:
            others += _tables(key, members)
    pages, rest = _paged(others)
    return Routing(tuple(tables), tuple(pages), tuple(rest))


@dataclass(frozen=True, slots=True)
class _Key:
    """Hold what the groups of a table have in common."""

    field: Field
    under: tuple[Field, str] | None
    beside: tuple[str, ...]
    cheap: bool


def _by_key(groups: Sequence[Group]) -> dict[_Key | None, list[Group]]:
    found: dict[_Key | None, list[Group]] = {}
    for group in groups:
        found.setdefault(_key(group.one), []).append(group)
    return found


def _key(one: Filter) -> _Key | None:
    """Return all that a filter asks for but the values of one field; none if it asks for none, or of many fields."""
    if one.condition_logic is not Logic.AND and len(one.conditions) > 1:
        return None
    decided = _deciding(one)
    asked = {each.target: condition_predicate(each) for each in reversed(one.conditions) if _asks(each)}
    beside = tuple(part for part in predicate_parts(one) if part not in asked.values())
    cheap = all(_asks(each) or each.target.column == NOT_DISPATCHED for each in one.conditions)
    if len([each for each in one.conditions if _asks(each)]) > len(decided):
        return None
    match sorted(decided, key=lambda field: bool(field.path)):
        case [field]:
            return _Key(field, None, beside, cheap)
        case [column, field] if not column.path and len(decided[column]) == 1:
            return _Key(field, (column, decided[column][0]), beside, cheap)
    return None


def _tables(key: _Key, members: Sequence[Group]) -> Iterator[Table]:
    """Yield tables of one group a value; a second group for the same value is in the second table."""
    ranks: list[dict[str, Group]] = []
    for group in members:
        for value in _deciding(group.one)[key.field]:
            rank = next((each for each in ranks if value not in each), None)
            if rank is None:
                ranks.append(rank := {})
            rank[value] = group
    return (Table(key.field, rank, key.under, key.beside, key.cheap) for rank in ranks)


def _paged(arms: Sequence[Arm]) -> tuple[list[Page], list[Arm]]:
    """Put arms behind the values they ask for, when there are more than a page of them."""
    if len(arms) <= PAGE:
        return [], list(arms)
    asked = [_columns_asked(each) for each in arms]
    popular = Counter(field for values in asked for field in values)
    rest: list[Arm] = []
    chosen: dict[Field, list[tuple[tuple[str, ...], Arm]]] = {}
    for arm, wanted in zip(arms, asked, strict=True):
        # Of equally popular ones the first that the filter names, so that equal input gives equal text.
        field = max(wanted, key=lambda name: popular[name], default=None)
        if field is None or popular[field] == 1:
            rest.append(arm)
        else:
            chosen.setdefault(field, []).append((wanted[field], arm))
    pages = []
    for field, members in chosen.items():
        # What asks for the same value comes together, so that a record opens few pages.
        members.sort(key=lambda each: each[0])
        for start in range(0, len(members), PAGE):
            part = members[start : start + PAGE]
            values = tuple(dict.fromkeys(value for values, _arm in part for value in values))
            pages.append(Page(field, values, tuple(arm for _values, arm in part)))
    return pages, rest


def _columns_asked(arm: Arm) -> _Values:
    """Return the values of columns that an arm asks for; a path is not looked up for records it says nothing about."""
    if isinstance(arm, Table):
        found = {} if arm.field.path else {arm.field: tuple(arm.groups)}
        return {arm.under[0]: (arm.under[1],)} if arm.under else found
    return {field: values for field, values in _deciding(arm.one).items() if not field.path}


def _deciding(one: Filter) -> _Values:
    """Return what a filter cannot match without. An OR decides only when all of it asks for values of one field."""
    found: _Values = {}
    wanted = list(_values_asked(one.conditions))
    if one.condition_logic is Logic.AND or len(one.conditions) == 1:
        for field, values in wanted:
            found.setdefault(field, tuple(dict.fromkeys(values)))
    elif len(wanted) == len(one.conditions) and len({field for field, _values in wanted}) == 1:
        found[wanted[0][0]] = tuple(dict.fromkeys(value for _field, values in wanted for value in values))
    return found


def _values_asked(conditions: Sequence[Condition]) -> Iterator[tuple[Field, tuple[str, ...]]]:
    for each in conditions:
        if _asks(each):
            yield each.target, tuple(map(str, each.operands))


def _asks(condition: Condition) -> bool:
    """Tell whether a condition asks for values of a field, as text."""
    return (
        condition.operator in {Operator.EQUALS, Operator.IN}
        and condition.value_type is ValueType.STRING
        and condition.target.column != NOT_DISPATCHED
    )
