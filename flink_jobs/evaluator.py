"""Owns the meaning of a filter without Flink: true, false or null for one record, and why.

It says what the SQL of `predicates` says on Flink, and a test compares the two on thousands of pairs; so nothing here
is taken from there. Must never know SQL, a topic or a service. Facts: docs/filters.md; FL-9 to FL-15, FL-43 and CD-118
of the contract.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from flink_jobs.columns import Field
from flink_jobs.conditions import Condition, Operator, Scalar, ValueType, parse_instant
from flink_jobs.filters import Filter, Logic
from flink_jobs.patterns import whole
from flink_jobs.values import (
    Value,
    as_boolean,
    as_capture_time,
    as_instant,
    as_number,
    json_value,
    microseconds,
    well_formed,
)

Record = Mapping[str, str | int | None]
"""The columns of a raw record as the parser gives them; a column that is missing is null, and `__ts_ms` is a number."""

Verdict = bool | None
"""SQL's three values: only True routes a record, and None is null, which is neither."""

_WRITTEN_ROWS: Final = ("c", "r")

_EQUALITIES: Final = frozenset({Operator.EQUALS, Operator.IN, Operator.NOT_IN})

_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], Any]]] = {
    Operator.EQUALS: operator.eq,
    Operator.GREATER_THAN: operator.gt,
    Operator.LESS_THAN: operator.lt,
    Operator.GREATER_THAN_OR_EQUAL: operator.ge,
    Operator.LESS_THAN_OR_EQUAL: operator.le,
}
"""Both sides are of one type, as validation has it; Python orders text by code point, as Flink does."""


@dataclass(frozen=True, slots=True)
class Check:
    """Hold what came of one condition.

    Attributes:
        text: The condition in words, such as `event_type equals 'CarCreated'`.
        found: What the field holds in this record, as text or number; None if it is null.
        verdict: What came of it.
        implied: Whether the filter does not name it: the operation and the blank event type.
    """

    text: str
    found: str | int | None
    verdict: Verdict
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Hold why a filter takes a record, or does not.

    Attributes:
        filter_id: The filter.
        verdict: What came of the whole; the record is routed if it is True.
        checks: Every condition in the order of the filter, then the implied ones.
        decisive: The checks that stand between the record and the topic; none if the record is routed. Within a group
            joined by OR, all of them.
    """

    filter_id: str
    verdict: Verdict
    checks: tuple[Check, ...]
    decisive: tuple[Check, ...]


def evaluate(one: Filter, record: Record) -> Verdict:
    """Return whether a filter takes a record: True, False or, as SQL has it, null."""
    return explain(one, record).verdict


def explain(one: Filter, record: Record) -> Explanation:
    """Return what came of a filter and of each of its conditions."""
    own = tuple(_check(condition, record) for condition in one.conditions)
    implied = tuple(_implied(one, record))
    join = _all if one.condition_logic is Logic.AND else _any
    group = join([each.verdict for each in own])
    verdict = _all([group, *(each.verdict for each in implied)])
    missing = [each for each in own if each.verdict is not True] if group is not True else []
    missing += [each for each in implied if each.verdict is not True]
    return Explanation(one.id, verdict, (*own, *implied), tuple(missing))


def _implied(one: Filter, record: Record) -> list[Check]:
    """Return what every filter asks unless it speaks of it: an event type (CD-118), and a row that was written."""
    checks = []
    if not any(each.target == Field("event_type") and each.operator is Operator.IS_NULL for each in one.conditions):
        kind = record.get("event_type")
        verdict = None if kind is None else str(kind).strip(" ") != ""
        checks.append(Check("event_type is not blank", kind, verdict, implied=True))
    if all(each.target.column != "__op" for each in one.conditions):
        operation = record.get("__op")
        verdict = None if operation is None else operation in _WRITTEN_ROWS
        checks.append(Check("__op in ['c', 'r']", operation, verdict, implied=True))
    return checks


def _check(condition: Condition, record: Record) -> Check:
    target = condition.target
    found = record.get(target.column)
    if target.path:
        found = None if found is None else json_value(str(found), target.path)
    return Check(_words(condition), found, _verdict(condition, found))


def _verdict(condition: Condition, found: str | int | None) -> Verdict:
    match condition.operator:
        case Operator.IS_NULL:
            return found is None
        case Operator.IS_NOT_NULL:
            return found is not None
        case Operator.MATCHES:
            return None if found is None else whole(str(condition.value))(str(found))
    if found is None or (value := _typed(found, condition.value_type)) is None:
        return None
    if isinstance(value, str) and condition.operator not in _EQUALITIES:
        value = well_formed(value)
    return _compared(condition.operator, value, [_operand(each, condition.value_type) for each in condition.operands])


def _typed(found: str | int, kind: ValueType) -> Value | None:
    """Return a field as it is compared; None for what is no value of the type."""
    match kind:
        case ValueType.STRING:
            return str(found)
        case ValueType.NUMBER:
            return found if isinstance(found, int) else as_number(found)
        case ValueType.BOOLEAN:
            return as_boolean(str(found))
        case ValueType.TIMESTAMP:
            return as_capture_time(found) if isinstance(found, int) else as_instant(found)


def _operand(value: Scalar, kind: ValueType) -> Value:
    match kind:
        case ValueType.NUMBER:
            return Decimal(value)
        case ValueType.TIMESTAMP:
            return microseconds(parse_instant(str(value)))
    return value


def _compared(how: Operator, value: Value, operands: list[Value]) -> bool:
    match how:
        case Operator.IN:
            return value in operands
        case Operator.NOT_IN:
            return value not in operands
        case Operator.BETWEEN:
            low, high = operands
            at_most = _COMPARISONS[Operator.LESS_THAN_OR_EQUAL]
            return bool(at_most(low, value) and at_most(value, high))
    return bool(_COMPARISONS[how](value, operands[0]))


def _all(verdicts: list[Verdict]) -> Verdict:
    """Join by AND: one false settles it, and otherwise one null does."""
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _any(verdicts: list[Verdict]) -> Verdict:
    """Join by OR: one true settles it, and otherwise one null does."""
    if True in verdicts:
        return True
    return None if None in verdicts else False


def _words(condition: Condition) -> str:
    parts = [condition.field, condition.operator.value]
    if condition.operator is Operator.BETWEEN:
        parts.append(" and ".join(map(_shown, condition.operands)))
    elif condition.values is not None:
        parts.append(f"[{', '.join(map(_shown, condition.operands))}]")
    elif condition.operands:
        parts.append(_shown(condition.operands[0]))
    return " ".join(parts)


def _shown(value: Scalar) -> str:
    return repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
