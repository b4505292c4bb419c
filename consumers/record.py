"""Owns the form of a record on a filtered topic: plain JSON, or JSON or Avro in a schema registry's frame (FL-85).

What a schema id stands for is asked through `Schemas`; this module asks nobody.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

_MAGIC = b"\0"
_FRAME = 5
"""Confluent wire format: one zero byte, the schema id in four bytes, then the payload."""


class Schemas(Protocol):
    """Read payloads by the schemas that their frames name."""

    def read(self, schema_id: int, payload: bytes) -> object:
        """Return the value of a payload.

        Raises:
            Undecodable: There is no such schema, or the payload is not of it.
            SchemasUnavailableError: That cannot be known now.
        """


class SchemasUnavailableError(Exception):
    """Say that nobody can tell now what a schema is: the record must be read again later."""


class Undecodable(ValueError):  # noqa: N818 - the state of a record, told to whoever reads the dead-letter topic
    """Say why a record's value is not an event header; trying again would not help."""


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one event header as it stands on a filtered topic; unknown fields are kept in `fields`."""

    id: str
    event_name: str | None
    event_type: str | None
    created_date: datetime | None
    saved_date: datetime | None
    header: Mapping[str, Any]
    op: str | None
    table: str | None
    fields: Mapping[str, Any]


def decode(value: bytes, schemas: Schemas | None = None) -> Record:
    """Read the value of a record.

    Args:
        value: Its bytes.
        schemas: What reads a framed value; None takes every frame for one around JSON.

    Raises:
        Undecodable: The bytes are no event header: no object or record, or without an `id`.
        SchemasUnavailableError: The schema cannot be had now.
    """
    if value[:1] != _MAGIC or len(value) < _FRAME:
        fields = read_json(value)
    elif schemas is None:
        fields = read_json(value[_FRAME:], "; for Avro, set SCHEMA_REGISTRY_URL")
    else:
        fields = schemas.read(int.from_bytes(value[1:_FRAME], "big"), value[_FRAME:])
    if not isinstance(fields, dict):
        raise Undecodable(f"the value is a {type(fields).__name__}, not an object")
    if not isinstance(fields.get("id"), str):
        raise Undecodable("the value has no text field `id`")
    return Record(
        id=fields["id"],
        event_name=_text(fields.get("event_name")),
        event_type=_text(fields.get("event_type")),
        created_date=_instant(fields.get("created_date")),
        saved_date=_instant(fields.get("saved_date")),
        header=_document(fields.get("header_data")),
        op=_text(fields.get("__op")),
        table=_text(fields.get("__table")),
        fields=fields,
    )


def read_json(payload: bytes, remedy: str = "") -> object:
    """Return the JSON of a payload.

    Raises:
        Undecodable: It is none; the message ends with the remedy.
    """
    try:
        return json.loads(payload)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Undecodable(f"the value is not JSON: {error}{remedy}") from error


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _instant(value: object) -> datetime | None:
    """Return an instant in UTC; a date that this version cannot read is shown from `fields`, it stops nothing."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _document(value: object) -> Mapping[str, Any]:
    """Return the header JSON; it is text in the record (CD-41), and another shape is shown as it came."""
    try:
        document = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        document = value
    return document if isinstance(document, dict) else {"raw": document}
