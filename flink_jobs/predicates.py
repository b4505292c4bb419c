"""Owns the meaning of a filter in SQL: one boolean expression over the columns of the raw record.

Every expression follows SQL's three values: a comparison with null is not true, so a null field matches only `isNull`
(FL-13). Must never know tables, topics or connectors. Facts: FL-7, FL-9 to FL-15, FL-43, CD-118; functions as Flink
2.2 has them (JSON_VALUE, REGEXP over Java's regular expressions, TRY_CAST).
"""

from datetime import datetime
from decimal import Decimal

from flink_jobs.columns import CAPTURE_TIME, Field
from flink_jobs.conditions import (
    NUMBER_DIGITS,
    NUMBER_SCALE,
    Condition,
    Operator,
    Scalar,
    ValueType,
    parse_instant,
)
from flink_jobs.filters import Filter, Logic
from flink_jobs.patterns import in_java

_COMPARISONS = {
    Operator.EQUALS: "=",
    Operator.GREATER_THAN: ">",
    Operator.LESS_THAN: "<",
    Operator.GREATER_THAN_OR_EQUAL: ">=",
    Operator.LESS_THAN_OR_EQUAL: "<=",
}

_EQUALITIES = {Operator.EQUALS, Operator.IN, Operator.NOT_IN}

_INT64 = 2**63
_DECIMAL = f"DECIMAL({NUMBER_DIGITS}, {NUMBER_SCALE})"

_DIGITS = r"'\A[ \t\n]*([+-]?[0-9.]{1,100}([eE][+-]?[0-9]{1,3})?)[ \t\n]*\z'"
"""What may be cast to a number: the cast itself takes 15 s for 1e3000000, and one record would hold up all others."""

_LEAP = r"\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00"
_NO_DAY = rf"\d{{4}}-(?:02-3|(?:0[469]|11)-31)|(?!{_LEAP})\d{{4}}-02-29"
"""Days that no month has; the cast would take the last day of the month instead."""


def identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier."""
    return "`" + name.replace("`", "``") + "`"


def text_literal(value: str) -> str:
    """Return a text as an SQL literal; a quote is doubled, and nothing else has a meaning between quotes."""
    return "'" + value.replace("'", "''") + "'"


def filter_predicate(one: Filter) -> str:
    """Return the whole predicate of a filter, ready to stand in a WHEN or WHERE."""
    return " AND ".join(predicate_parts(one))


def predicate_parts(one: Filter) -> tuple[str, ...]:
    """Return what must all hold for a filter to match: its conditions, cheap ones first, then what is implied.

    A filter that names no `__op` takes inserted and snapshot rows only (FL-43). A header without an event type matches
    nothing (CD-118), unless the filter asks for just that with `isNull`.
    """
    if one.condition_logic is Logic.AND or len(one.conditions) == 1:
        parts = [condition_predicate(each) for each in sorted(one.conditions, key=_cost)]
    else:
        parts = [f"({f' {one.condition_logic.value} '.join(map(condition_predicate, one.conditions))})"]
    if not _settles_event_type(one):
        parts.append("TRIM(`event_type`) <> ''")
    if all(each.target.column != "__op" for each in one.conditions):
        parts.append("`__op` IN ('c', 'r')")
    return tuple(parts)


def _cost(condition: Condition) -> int:
    """Rank conditions by what they take: what is tried first spares the others."""
    hard = condition.operator is Operator.MATCHES or condition.value_type is ValueType.TIMESTAMP
    return 2 if condition.target.path else 1 if hard else 0


def condition_predicate(condition: Condition) -> str:
    """Return one condition as an SQL expression."""
    field = reference(condition.target)
    match condition.operator:
        case Operator.IS_NULL:
            return f"{field} IS NULL"
        case Operator.IS_NOT_NULL:
            return f"{field} IS NOT NULL"
        case Operator.MATCHES:
            return f"REGEXP({field}, {text_literal(in_java(str(condition.value)))})"
    return _operand(condition) + _comparison(condition)


def _comparison(condition: Condition) -> str:
    values = [_literal(each, condition.value_type) for each in condition.operands]
    match condition.operator:
        case Operator.IN:
            return f" IN ({', '.join(values)})"
        case Operator.NOT_IN:
            return f" NOT IN ({', '.join(values)})"
        case Operator.BETWEEN:
            return f" BETWEEN {values[0]} AND {values[1]}"
    return f" {_COMPARISONS[condition.operator]} {values[0]}"


def _settles_event_type(one: Filter) -> bool:
    """Tell whether the conditions alone decide what a blank event type does."""
    about = [each for each in one.conditions if each.target == Field("event_type")]
    if any(each.operator is Operator.IS_NULL for each in about):
        return True
    names = {Operator.EQUALS, Operator.IN}
    return one.condition_logic is Logic.AND and any(
        each.operator in names
        # A blank is null as a boolean or number, and not false.
        and each.value_type is ValueType.STRING
        and all(str(value).strip(" ") for value in each.operands)
        for each in about
    )


def reference(field: Field) -> str:
    """Return a field as an SQL expression: the column, or a look-up in its JSON."""
    column = identifier(field.column)
    return f"JSON_VALUE({column}, {text_literal('$' + field.path)})" if field.path else column


def _operand(condition: Condition) -> str:
    """Return the field as it is compared: text is cast to the type of the value, and what is none of it is null."""
    field = condition.target
    text = reference(field)
    match condition.value_type:
        case ValueType.STRING:
            # Flink orders what it holds as Java's strings by UTF-16, where an emoji comes before U+E000; CONCAT makes
            # it UTF-8, whose order is that of the code points.
            return text if condition.operator in _EQUALITIES else f"CONCAT({text}, '')"
        case ValueType.NUMBER:
            if field.is_number:
                # A long list is cast to the type of the column, which would cut off fractions and high digits.
                return text if all(map(_is_int64, condition.operands)) else f"CAST({text} AS {_DECIMAL})"
            return f"TRY_CAST(REGEXP_EXTRACT({text}, {_DIGITS}, 1) AS {_DECIMAL})"
        case ValueType.BOOLEAN:
            return f"TRY_CAST({text} AS BOOLEAN)"
        case ValueType.TIMESTAMP:
            if field.is_number:
                return f"CAST(TO_TIMESTAMP_LTZ({identifier(CAPTURE_TIME)}, 3) AS TIMESTAMP(6))"
            return _instant(text)


def _is_int64(value: Scalar) -> bool:
    number = Decimal(value)
    return number == number.to_integral_value() and -_INT64 <= number < _INT64


def _instant(text: str) -> str:
    """Return ISO 8601 text as a timestamp in UTC.

    Flink's own conversions drop microseconds and ignore the offset, so both are read by hand. The first pattern stands
    for the whole text; anything that does not fit it is null.
    """
    hour, offset = r"([01]\d|2[0-3])", r"(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?"
    whole = rf"\A(?!{_NO_DAY})(\d{{4}}-\d{{2}}-\d{{2}})[T ]{hour}:\d{{2}}:\d{{2}}(\.\d+)?{offset}\z"
    date = f"REGEXP_EXTRACT({text}, '{whole}', 1)"
    time = rf"REGEXP_EXTRACT({text}, '[T ](\d{{2}}:\d{{2}}:\d{{2}}(\.\d{{1,6}})?)', 1)"
    hours = rf"CAST(REGEXP_EXTRACT({text}, '([+-]\d{{2}}):?\d{{2}}$', 1) AS INT)"
    sign, digits = (rf"REGEXP_EXTRACT({text}, '{part}$', 1)" for part in (r"([+-])\d{2}:?\d{2}", r"[+-]\d{2}:?(\d{2})"))
    ahead = f"COALESCE({hours} * 60 + CAST({sign} || {digits} AS INT), 0)"
    return f"TIMESTAMPADD(MINUTE, -{ahead}, TRY_CAST({date} || ' ' || {time} AS TIMESTAMP(6)))"


def _literal(value: Scalar, kind: ValueType) -> str:
    match kind:
        case ValueType.BOOLEAN:
            return "TRUE" if value else "FALSE"
        case ValueType.NUMBER:
            return _number(Decimal(value))
        case ValueType.TIMESTAMP:
            return _timestamp(parse_instant(str(value)))
        case ValueType.STRING:
            return text_literal(str(value))


def _number(value: Decimal) -> str:
    """Return an exact number, never with an exponent, which SQL reads as approximate."""
    text = f"{value:f}"
    # The parser holds the digits of a literal in 64 bits (measured); what has more is a text that is cast.
    fits = int(text.replace(".", "").lstrip("-")) < _INT64
    return text if fits else f"CAST('{text}' AS {_DECIMAL})"


def _timestamp(instant: datetime) -> str:
    return f"TIMESTAMP '{instant.replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}'"
