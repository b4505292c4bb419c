"""From a JSON document to an event that can be stored.

Owns the structure of the API's input (EV-10 to EV-17), the order of the checks (EV-29) and the mapping to what the
tables hold (EV-90 to EV-93). It touches neither HTTP nor the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import uuid4

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from producer.instants import Instant, write_instant
from producer.refusals import ContentError, StructureError

# As wide as the columns (EV-71, EV-76).
_Text = Annotated[str, Field(max_length=255)]

_SHOWN_FAULTS: Final = 5


class _Input(BaseModel):
    # Both spellings are read (EV-17); when a document has both, the camelCase one counts.
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True)


class EntityHeaderIn(_Input):
    """What every entity says about itself (EV-12)."""

    entity_id: _Text
    entity_type: _Text
    created_at: Instant
    updated_at: Instant


class EntityIn(_Input):
    """One entity; its properties stay in the document, which is stored as it came."""

    entity_header: EntityHeaderIn


class EventHeaderIn(_Input):
    """What every event says about itself (EV-11); only the name is required, and that is checked later (EV-29)."""

    uuid: _Text | None = None
    event_name: _Text | None = None
    event_type: _Text | None = None
    created_date: Instant | None = None
    saved_date: Instant | None = None


class EventIn(_Input):
    """One event as the API takes it (EV-10)."""

    event_header: EventHeaderIn
    entities: list[EntityIn] | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """The columns of one entity; its data are cut out of the event's document by the database."""

    type: str
    id: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event, ready to be stored; instants are ISO 8601 text in UTC."""

    id: str
    name: str
    type: str | None
    created: str
    saved: str
    document: str
    """The event as it was received, with camelCase keys: JSON text."""
    header: str
    """The header JSON of EV-92: JSON text."""
    entities: tuple[Entity, ...]


def check_structure(document: object) -> EventIn:
    """Return the document as typed input.

    Raises:
        StructureError: A missing or wrongly typed part, a text too long, or a date that is none.
    """
    try:
        return EventIn.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        shown = "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:_SHOWN_FAULTS])
        more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise StructureError(shown + more) from error


def check_content(event: EventIn) -> None:
    """Check name, entities and entity fields, in this order.

    Raises:
        ContentError: With the text of EV-21, EV-22 or EV-23.
    """
    if not (event.event_header.event_name or "").strip():
        raise ContentError("Event header event_name is required")
    if not event.entities:
        raise ContentError("Event must contain at least one entity")
    for entity in event.entities:
        if not entity.entity_header.entity_type.strip():
            raise ContentError("Entity type cannot be empty")
        if not entity.entity_header.entity_id.strip():
            raise ContentError("Entity ID cannot be empty")


def make_event(
    checked: EventIn,
    parsed: dict[str, Any],
    document: str,
    now: datetime,
    copied_fields: Sequence[tuple[str, str]] = (),
) -> Event:
    """Return the event to store.

    Args:
        checked: The input after both checks.
        parsed: The same document as parsed JSON.
        document: The same document as text.
        now: The time of processing, for dates that are missing; one instant for every table (EV-15).
        copied_fields: (entity type, field) pairs to copy into the header JSON (FL-21).
    """
    head = checked.event_header
    created = head.created_date or write_instant(now)
    saved = head.saved_date or write_instant(now)
    identity = head.uuid if head.uuid and head.uuid.strip() else str(uuid4())
    header: dict[str, Any] = {
        "uuid": identity,
        "eventName": head.event_name,
        "eventType": head.event_type,
        "createdDate": created,
        "savedDate": saved,
    }
    if copied_fields:
        header |= _copies(checked, parsed, copied_fields)
    return Event(
        id=identity,
        name=head.event_name or "",
        type=head.event_type,
        created=created,
        saved=saved,
        document=document,
        header=orjson.dumps(header).decode(),
        entities=tuple(
            Entity(header.entity_type, header.entity_id, header.created_at, header.updated_at)
            for header in (entity.entity_header for entity in checked.entities or ())
        ),
    )


def _copies(checked: EventIn, parsed: dict[str, Any], fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return each wanted field of the first entity of its type that has it; only plain values, as filters compare."""
    found: dict[str, Any] = {}
    for entity, properties in zip(checked.entities or (), parsed["entities"], strict=True):
        for wanted_type, name in fields:
            value = properties.get(name)
            if entity.entity_header.entity_type == wanted_type and isinstance(value, str | int | float):
                found.setdefault(name, value)
    return found


def _place(location: tuple[int | str, ...]) -> str:
    """Return where a fault is, such as `entities[0].entityHeader.createdAt`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.lstrip(".") or "event"
