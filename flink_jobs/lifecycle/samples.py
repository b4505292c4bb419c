"""Owns what a person may show to the filters: raw records, rows of `event_headers`, or events for the producer.

Each becomes the columns of a raw record, by the rules of the job's own parser; what the job would send to the
dead-letter topic is told with the reason. Must never decide whether a filter matches. Facts: CD-41, CD-116 and EV-91.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from flink_jobs.columns import CAPTURE_TIME, COLUMNS, DOCUMENT
from flink_jobs.evaluator import Record

Json = dict[str, Any]

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_HEADER = {"id": "uuid", "event_name": "eventName", "event_type": "eventType"} | {
    "created_date": "createdDate",
    "saved_date": "savedDate",
}


class SampleError(ValueError):
    """Say why a text holds no events."""


class Form(StrEnum):
    """Tell what a sample was."""

    RAW = "raw"
    """A record of the raw topic."""
    ROW = "row"
    """A row of `event_headers`; taken as inserted."""
    EVENT = "event"
    """An event as it is posted to the producer; taken as inserted."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold one event to test.

    Attributes:
        form: What it was.
        record: Its columns; None if the job could not read it.
        fault: Why it could not.
    """

    form: Form
    record: Record | None
    fault: str | None = None

    @property
    def id(self) -> str:
        """Return the id of the event, empty if it has none that can be read."""
        return str((self.record or {}).get("id") or "")


EntityFields = Sequence[tuple[str, str]]
"""Fields that the producer copies from entities into the header, as (entity type, field): `HEADER_ENTITY_FIELDS`."""


def read_samples(text: str, entity_fields: EntityFields = ()) -> list[Sample]:
    """Read JSON: one event, an array, `{"events": […]}` as the bulk route takes it, or one event a line.

    Args:
        text: The JSON.
        entity_fields: What the producer adds to the header of an event.

    Raises:
        SampleError: It is none of these.
    """
    found = [_sample(each, entity_fields) for each in _documents(text)]
    if not found:
        raise SampleError("there is no event in it")
    return found


def _documents(text: str) -> Iterator[object]:
    try:
        whole = json.loads(text, parse_float=_Verbatim, parse_int=_Verbatim)
    except ValueError as error:
        yield from _lines(text, error)
        return
    if isinstance(whole, list):
        yield from whole
    elif isinstance(whole, dict) and isinstance(whole.get("events"), list):
        yield from whole["events"]
    else:
        yield whole


def _lines(text: str, whole: ValueError) -> Iterator[object]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 2:
        raise SampleError(f"it is no JSON: {whole}") from whole
    for number, line in lines:
        try:
            yield json.loads(line, parse_float=_Verbatim, parse_int=_Verbatim)
        except ValueError as error:
            raise SampleError(f"neither is the whole JSON ({whole}), nor is line {number}: {error}") from error


class _Verbatim(str):
    """A number as it was written, every digit of it."""

    __slots__ = ()


def _sample(document: object, entity_fields: EntityFields) -> Sample:
    if not isinstance(document, dict):
        return _parsed(Form.RAW, document)
    header = document.get("eventHeader", document.get("event_header"))
    if isinstance(header, dict):
        return _event(header, _copied(document.get("entities"), entity_fields))
    if "__op" in document:
        return _parsed(Form.RAW, document)
    row = {"__op": "c", "__table": "event_headers", **document}
    if isinstance(row.get(DOCUMENT), dict | list):
        row[DOCUMENT] = _text(row[DOCUMENT])
    return _parsed(Form.ROW, row)


def _event(header: Json, copied: Json) -> Sample:
    """Return the row that the producer makes of an event: of the header it stores five fields, and what it copies."""
    row = {column: header.get(name, header.get(column)) for column, name in _HEADER.items()}
    row["id"] = row["id"] or "(given by the producer)"
    for name in ("created_date", "saved_date"):
        row[name] = row[name] or datetime.now(UTC).isoformat().replace("+00:00", "Z")
    stored = {name: row[column] for column, name in _HEADER.items()}
    return _parsed(Form.EVENT, {**row, DOCUMENT: _text(stored | copied), "__op": "c", "__table": "event_headers"})


def _copied(entities: object, fields: EntityFields) -> Json:
    """Return what the producer copies from the entities: of each field the first plain value."""
    found: Json = {}
    for kind, name in fields:
        for entity in entities if isinstance(entities, list) else ():
            own = entity.get("entityHeader", entity.get("entity_header")) if isinstance(entity, dict) else None
            if not isinstance(own, dict) or own.get("entityType", own.get("entity_type")) != kind:
                continue
            if isinstance(value := entity.get(name), str | bool):
                found.setdefault(name, value)
    return found


def _parsed(form: Form, document: object) -> Sample:  # noqa: PLR0911  # a reason each
    """Read a record as `HeaderParser.java` does."""
    if not isinstance(document, Mapping):
        return Sample(form, None, "not a JSON object")
    record: dict[str, str | int | None] = {}
    for name in COLUMNS:
        value = document.get(name)
        if value is None:
            continue
        if isinstance(value, dict | list):
            return Sample(form, None, f"field {name} is not a plain value")
        if name == CAPTURE_TIME:
            if not isinstance(value, _Verbatim) or not value.removeprefix("-").isdigit():
                return Sample(form, None, f"field {name} is not a whole number")
            if not _SMALLEST <= int(value) <= _LARGEST:
                return Sample(form, None, f"field {name} is too large")
            record[name] = int(value)
        elif name == "id" and (isinstance(value, _Verbatim | bool)):
            return Sample(form, None, "field id is not a text")
        else:
            record[name] = str(value).lower() if isinstance(value, bool) else str(value)
    if not record.get("id"):
        return Sample(form, None, "field id is missing")
    return Sample(form, record)


def _text(value: object) -> str:
    """Return JSON text in which numbers are as they were written."""
    if isinstance(value, _Verbatim):
        return str(value)
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {_text(each)}" for name, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
