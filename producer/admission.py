"""Let an event in, or say why not.

Owns the order of the checks (EV-29): structure, event name, entities, entity fields, schema validation. What they
check is the business of `producer.model` and `producer.validation`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from producer import document
from producer.model import Event, EventIn, check_content, check_structure, make_event
from producer.refusals import StructureError


class Validator(Protocol):
    """What `producer.validation` offers; named here so that nobody loads its HTTP client who does not validate."""

    def check(self, document: str) -> bool:
        """Return whether there was a verdict; raise SchemaError for an invalid event."""
        ...

    def close(self) -> None:
        """Close the connections to the service."""
        ...


class Admission:
    """The checks of one request; every event of the request shares its time of processing."""

    def __init__(
        self, now: datetime, copied_fields: Sequence[tuple[str, str]] = (), validator: Validator | None = None
    ) -> None:
        self._now = now
        self._copied_fields = copied_fields
        self._validator = validator

    def structure(self, parsed: Any, place: str = "") -> EventIn:
        """Return a parsed document as typed input.

        Raises:
            StructureError: It is not an event; `place` precedes the reason.
        """
        try:
            return check_structure(parsed)
        except StructureError as error:
            if not place:
                raise
            raise StructureError(f"{place}{error}") from error

    def admit(self, checked: EventIn, parsed: dict[str, Any], text: str) -> Event:
        """Return the event to store, given its typed input, its parsed document and its text.

        Raises:
            RefusedError: Something it must say is missing, or the validator finds it invalid.
        """
        check_content(checked)
        if not document.is_canonical(parsed):
            text = document.canonical(text)
        if self._validator is not None and not self._validator.check(text):
            # No verdict: not asked again in this request, or an array of events would wait for each of its own.
            self._validator = None
        return make_event(checked, parsed, text, self._now, self._copied_fields)
