"""Owns one condition of a filter: which operators there are, what each needs, and which values fit which type.

Must never know SQL. Facts: FL-5 to FL-16 of the contract.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from flink_jobs.columns import Field as RecordField
from flink_jobs.columns import parse_field
from flink_jobs.patterns import UnsharedPatternError, whole

NUMBER_SCALE: Final = 18
NUMBER_DIGITS: Final = 38
"""Numbers are compared as DECIMAL(38, 18), the widest decimal of Flink SQL."""


Scalar = bool | int | str | Decimal
"""A value as JSON has it; numbers with a fraction are decimals, so that none is rounded on its way to SQL."""


def _scalar(value: object) -> Scalar:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Scalar):
        return value
    raise ValueError("a value is a text, a number or a boolean")


_Scalar = Annotated[
    Scalar,
    PlainValidator(_scalar),
    PlainSerializer(lambda value: float(value) if isinstance(value, Decimal) else value),
]


_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class Operator(StrEnum):
    """Compare a field with what the condition gives."""

    EQUALS = "equals"
    IN = "in"
    NOT_IN = "notIn"
    GREATER_THAN = "greaterThan"
    LESS_THAN = "lessThan"
    GREATER_THAN_OR_EQUAL = "greaterThanOrEqual"
    LESS_THAN_OR_EQUAL = "lessThanOrEqual"
    BETWEEN = "between"
    """Inclusive at both ends (FL-11)."""
    MATCHES = "matches"
    """A regular expression over the whole value (FL-12)."""
    IS_NULL = "isNull"
    IS_NOT_NULL = "isNotNull"


class ValueType(StrEnum):
    """Say what a field is compared as."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    """An instant: ISO 8601; without an offset it is UTC."""


_NULL_TESTS = frozenset({Operator.IS_NULL, Operator.IS_NOT_NULL})
_LISTS = frozenset({Operator.IN, Operator.NOT_IN})
_EQUALITIES = frozenset({Operator.EQUALS, *_LISTS, *_NULL_TESTS})

_NEEDED: dict[Operator, frozenset[str]] = {
    **dict.fromkeys(Operator, frozenset({"value"})),
    **dict.fromkeys(_LISTS, frozenset({"values"})),
    **dict.fromkeys(_NULL_TESTS, frozenset()),
    Operator.BETWEEN: frozenset({"min", "max"}),
}


class Condition(BaseModel):
    """Hold one test of one field; an instance is always complete and of one type.

    Raises:
        pydantic.ValidationError: A part is missing, superfluous or of another type than `valueType` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    field: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\[\]]+$")]
    operator: Operator
    value: _Scalar | None = None
    values: tuple[_Scalar, ...] | None = None
    min: _Scalar | None = None
    max: _Scalar | None = None
    value_type: Annotated[ValueType, Field(alias="valueType")] = ValueType.STRING

    @property
    def target(self) -> RecordField:
        """Return what the condition looks at."""
        return parse_field(self.field)

    @property
    def operands(self) -> tuple[Scalar, ...]:
        """Return the values in the order the operator takes them; none for the null tests."""
        alone = (self.value, self.min, self.max)
        return self.values if self.values is not None else tuple(each for each in alone if each is not None)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for problem in (*self._wrong_parts(), *self._wrong_types()):
            raise ValueError(problem)
        return self

    def _wrong_parts(self) -> Iterator[str]:
        try:
            field = self.target
        except ValueError as error:
            yield str(error)
            return
        needed = _NEEDED[self.operator]
        given = {name for name in ("value", "values", "min", "max") if getattr(self, name) is not None}
        for name in sorted(needed - given):
            yield f"operator {self.operator.value!r} needs {name!r}"
        for name in sorted(given - needed):
            yield f"operator {self.operator.value!r} takes no {name!r}"
        if self.values == ():
            yield f"operator {self.operator.value!r} needs at least one value in 'values'"
        if self.operator is Operator.MATCHES and self.value_type is not ValueType.STRING:
            yield f"operator 'matches' compares text; 'valueType' {self.value_type.value!r} does not fit"
        if self.value_type is ValueType.BOOLEAN and self.operator not in _EQUALITIES:
            yield f"operator {self.operator.value!r} orders values, and booleans have no order"
        numeric = self.value_type in {ValueType.NUMBER, ValueType.TIMESTAMP} or self.operator in _NULL_TESTS
        if field.is_number and not numeric:
            yield f"column {field.column} is a number; set 'valueType' to 'number' or 'timestamp'"

    def _wrong_types(self) -> Iterator[str]:
        for operand in self.operands:
            if problem := _misfit(operand, self.value_type):
                yield f"{_shown(operand)} {problem}"
        if self.operator is Operator.MATCHES:
            try:
                whole(str(self.value))
            except UnsharedPatternError as error:
                yield f"{self.value!r} is no regular expression that can be used: {error}"


def parse_instant(text: str) -> datetime:
    """Read a date and time in ISO 8601 as an instant in UTC; without an offset it is UTC already.

    Raises:
        ValueError: The text is no date with a time.
    """
    if not re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}", text):
        raise ValueError(f"{text!r} is no date with a time")
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _misfit(value: Scalar, wanted: ValueType) -> str | None:
    match wanted:
        case ValueType.BOOLEAN:
            return None if isinstance(value, bool) else "is no boolean, as 'valueType' says"
        case ValueType.NUMBER:
            return _misfit_number(value)
        case ValueType.STRING:
            if not isinstance(value, str):
                return "is no text; quote it, or set 'valueType'"
            return "has half a surrogate pair, which is no character" if _HALF_A_PAIR.search(value) else None
        case ValueType.TIMESTAMP:
            try:
                parse_instant(value if isinstance(value, str) else "")
            except (ValueError, OverflowError):
                return "is no timestamp; write it as in 2026-01-31T12:00:00Z"
            return None


def _misfit_number(value: Scalar) -> str | None:
    if isinstance(value, bool | str):
        return "is no number, as 'valueType' says"
    number = Decimal(value)
    if not number.is_finite() or abs(number) >= Decimal(10) ** (NUMBER_DIGITS - NUMBER_SCALE):
        return f"is too large; numbers have at most {NUMBER_DIGITS - NUMBER_SCALE} digits before the point"
    if isinstance(value, Decimal) and Decimal(repr(float(value))) != value:
        return "has more digits than a reader of JSON keeps; write it shorter"
    exponent = number.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > NUMBER_SCALE:
        return f"is too fine; numbers have at most {NUMBER_SCALE} digits after the point"
    return None


def _shown(value: Scalar) -> str:
    return repr(value) if isinstance(value, str) else str(value)
