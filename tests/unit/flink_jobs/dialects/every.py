"""Every filter there is: each operator with each type of value on each kind of field, as far as they go together."""

from itertools import product
from typing import Any, Final

from pydantic import ValidationError

from flink_jobs import FilterSet, parse_filters
from flink_jobs.conditions import Condition, Operator, ValueType

Json = dict[str, Any]

FIELDS: Final = ("event_type", "header_data", "header_data.a.b[0].c", "saved_date", "__ts_ms", "__op")

_VALUES: Final[dict[ValueType, list[Any]]] = {
    ValueType.STRING: ["it's; -- `x`", "[a-z]+|Ä😀"],
    ValueType.NUMBER: [-1.5, 10**19],
    ValueType.BOOLEAN: [True, False],
    ValueType.TIMESTAMP: ["2026-01-31T12:00:00+02:00", "2026-01-31 12:00:00.000001"],
}


def _conditions() -> dict[str, Json]:
    found = {}
    for field, operator, kind in product(FIELDS, Operator, ValueType):
        low, high = _VALUES[kind]
        parts: tuple[Json, ...] = ({}, {"value": high}, {"values": [low, high]}, {"min": low, "max": high})
        for part in parts:
            body = {"field": field, "operator": operator.value, "valueType": kind.value, **part}
            try:
                Condition.model_validate(body)
            except ValidationError:
                continue
            name = "-".join(part for part in (field.strip("_"), operator.value, kind.value))
            found["".join(sign if sign.isalnum() else "-" for sign in name.lower())] = body
    return found


CONDITIONS: Final = _conditions()


def every_filter(*fields: str) -> FilterSet:
    """Return a filter for each condition on these fields (on all of them), and one for each way to join two."""
    first, *_, second = (body for body in CONDITIONS.values() if body["valueType"] == "string")
    named = {"name": "x\n'; y", "consumerId": "c", "enabled": True}
    filters: list[Json] = [
        {**named, "id": name, "outputTopic": f"f-{name}", "conditions": [body]}
        for name, body in CONDITIONS.items()
        if not fields or body["field"] in fields
    ]
    for logic in ("AND", "OR"):
        name = f"both-{logic.lower()}"
        joined = {"conditionLogic": logic, "conditions": [first, second], "status": "deprecated"}
        filters.append({**named, "id": name, "outputTopic": name, **joined})
    return parse_filters({"version": 1, "filters": filters})
