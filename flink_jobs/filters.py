"""Owns the filter definition: its model, the file it is kept in and the errors a reader of that file understands.

Reads the form of the file and the form of the service API (FL-4) into one model. Must never know SQL.
Facts: FL-1 to FL-4, FL-16, FL-30 and FL-32 of the contract.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, field_validator

from flink_jobs.conditions import Condition

Json = dict[str, Any]
_Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
_Named = Annotated[str, Field(min_length=1)]


class FilterError(ValueError):
    """Say where a filter file is wrong: the first problem's JSON path, its reason and how many more there are.

    Attributes:
        problems: Every problem as (JSON path, reason), in the order of the file.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        (path, reason), more = problems[0], len(problems) - 1
        super().__init__(f"{path}: {reason}" + (f" (and {more} more)" if more else ""))


class Logic(StrEnum):
    """Join the conditions of a filter."""

    AND = "AND"
    OR = "OR"


class Status(StrEnum):
    """Name where a filter stands in its life (FL-30)."""

    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    FAILED = "failed"
    DISABLED = "disabled"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    PENDING_DELETION = "pending_deletion"
    DELETED = "deleted"


_GONE = frozenset({Status.PENDING_DELETION, Status.DELETED})


Target = Literal["flink", "spring"]
"""A processor that filters run on: the Flink job, or the one without Flink."""


class Approval(BaseModel):
    """Hold who has approved a filter for one target, when, and exactly what: a later edit makes it void by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: _Named
    at: str
    version: Annotated[StrictInt, Field(ge=1)]
    definition: str
    forced: StrictBool = False


class Deployed(BaseModel):
    """Hold what came of the last deployment of a filter on one target."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    at: str
    version: Annotated[StrictInt, Field(ge=1)]
    statement_ids: Annotated[tuple[str, ...], Field(alias="statementIds")] = ()
    error: str | None = None


class Filter(BaseModel):
    """Hold one filter: which headers it takes and the base name of the topic they go to."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    id: _Slug
    name: _Named
    description: str = ""
    consumer_id: Annotated[_Named, Field(alias="consumerId")]
    output_topic: Annotated[_Slug, Field(alias="outputTopic")]
    condition_logic: Annotated[Logic, Field(alias="conditionLogic")] = Logic.AND
    conditions: tuple[Condition, ...]
    enabled: StrictBool = True
    status: Status = Status.PENDING_APPROVAL
    version: Annotated[StrictInt, Field(ge=1)] = 1
    created_at: Annotated[str | None, Field(alias="createdAt")] = None
    updated_at: Annotated[str | None, Field(alias="updatedAt")] = None
    approved_by: Annotated[str | None, Field(alias="approvedBy")] = None
    approved_at: Annotated[str | None, Field(alias="approvedAt")] = None
    deployed_at: Annotated[str | None, Field(alias="deployedAt")] = None
    deployment_error: Annotated[str | None, Field(alias="deploymentError")] = None
    flink_statement_ids: Annotated[tuple[str, ...], Field(alias="flinkStatementIds")] = ()
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = ("flink",)
    approvals: dict[Target, Approval] = Field(default_factory=dict)
    deployments: dict[Target, Deployed] = Field(default_factory=dict)

    @field_validator("conditions")
    @classmethod
    def _at_least_one(cls, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        if not conditions:
            raise ValueError("a filter needs at least one condition")
        return conditions

    def runs_on(self, target: Target) -> bool:
        """Return True when this filter has a part in what runs on a target (FL-32)."""
        return self.enabled and self.status not in _GONE and target in self.targets

    @property
    def runs_on_flink(self) -> bool:
        """Return True when SQL is generated for this filter."""
        return self.runs_on("flink")


class FilterSet(BaseModel):
    """Hold every filter of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[StrictInt, Field(ge=1)]
    filters: tuple[Filter, ...]


def load_filters(path: Path) -> FilterSet:
    """Read a filter file.

    Raises:
        FilterError: The file cannot be read, is no JSON or breaks a rule; the message has the JSON path of the first
            fault.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FilterError([("$", f"the filter file {path} cannot be read: {error}")]) from error
    try:
        document = json.loads(text, parse_float=Decimal, object_pairs_hook=_without_repeats)
    except ValueError as error:
        raise FilterError([("$", f"the filter file {path} is no JSON: {error}")]) from error
    return parse_filters(document)


def parse_filters(document: object) -> FilterSet:
    """Read a filter document, each filter in the form of the file or of the API.

    Raises:
        FilterError: It breaks a rule.
    """
    try:
        filters = FilterSet.model_validate(_in_file_form(document))
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise FilterError([(_json_path(document, each["loc"]), _reason(each)) for each in details]) from error
    if clashes := list(_clashes(filters)):
        raise FilterError(clashes)
    return filters


def to_file_form(filters: FilterSet) -> Json:
    """Return the document as `filters.json` holds it; keys that were not set are left out."""
    return filters.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def to_api_form(one: Filter) -> Json:
    """Return one filter as the service API writes it: `consumerGroup`, and the conditions with their logic (FL-4)."""
    body = one.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    body["consumerGroup"] = body.pop("consumerId")
    body["conditions"] = {"logic": body.pop("conditionLogic", Logic.AND.value), "conditions": body["conditions"]}
    return body


def _without_repeats(pairs: list[tuple[str, Any]]) -> Json:
    result: Json = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice in one object")
        result[key] = value
    return result


def _in_file_form(document: object) -> object:
    if not isinstance(document, Mapping) or not isinstance(document.get("filters"), list):
        return document
    return {**document, "filters": [_one_in_file_form(each) for each in document["filters"]]}


def _one_in_file_form(body: object) -> object:
    if not isinstance(body, Mapping):
        return body
    result = dict(body)
    if "consumerGroup" in result and "consumerId" not in result:
        result["consumerId"] = result.pop("consumerGroup")
    group = result.get("conditions")
    if isinstance(group, Mapping) and set(group) <= {"logic", "conditions"} and "conditionLogic" not in result:
        result["conditions"] = group.get("conditions")
        if "logic" in group:
            result["conditionLogic"] = group["logic"]
    return result


def _json_path(document: object, location: tuple[int | str, ...]) -> str:
    """Return the path in the document as it was written, which may be in the form of the API."""
    parts: list[int | str] = list(location)
    if len(parts) > 2 and isinstance(document, Mapping) and isinstance(parts[1], int):
        written = document["filters"][parts[1]]
        if parts[2] == "consumerId" and "consumerId" not in written and "consumerGroup" in written:
            parts[2] = "consumerGroup"
        if isinstance(written, Mapping) and isinstance(written.get("conditions"), Mapping):
            nested = {"conditions": ["conditions", "conditions"], "conditionLogic": ["conditions", "logic"]}
            parts[2:3] = nested.get(str(parts[2]), [parts[2]])
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _reason(detail: Any) -> str:
    reason = str(detail["msg"]).removeprefix("Value error, ")
    offending = detail["input"]
    shown = isinstance(offending, str | int | float | Decimal) and "value_error" not in detail["type"]
    return f"{reason} (it is {offending!r})" if shown else reason


def _clashes(filters: FilterSet) -> Iterator[tuple[str, str]]:
    """Yield what is wrong between filters: equal ids, and one topic fed by different conditions (FL-16)."""
    ids: dict[str, int] = {}
    topics: dict[str, tuple[int, object]] = {}
    for index, each in enumerate(filters.filters):
        if each.id in ids:
            yield f"$.filters[{index}].id", f"{each.id!r} is also the id of filter {ids[each.id]}"
        ids.setdefault(each.id, index)
        meaning = (each.condition_logic, each.conditions)
        first, known = topics.setdefault(each.output_topic, (index, meaning))
        if known != meaning:
            reason = f"{each.output_topic!r} is also the topic of filter {first}, which has other conditions"
            yield f"$.filters[{index}].outputTopic", reason
