"""Ask the metadata service whether an event is valid by its JSON Schema.

Owns the one HTTP call of EV-44 to EV-46. It fails open: a service that is slow, gone or talking nonsense never keeps
an event out, it is only logged.
"""

from typing import Any

import httpx
import orjson
import structlog

from producer.refusals import SchemaError

_log = structlog.get_logger()


class SchemaValidator:
    """Keep one HTTP client for the service; safe to share between threads."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/validate"
        self._client = httpx.Client(timeout=timeout)

    def check(self, document: str) -> bool:
        """Ask about one event, given as JSON text with the client's own values (EV-45).

        Returns:
            Whether the service gave a verdict; without one the event is let through.

        Raises:
            SchemaError: The service says that the event is invalid.
        """
        try:
            reply = self._client.post(
                self._url,
                content=b'{"event":' + document.encode() + b"}",
                headers={"Content-Type": "application/json"},
            )
            said = orjson.loads(reply.content)
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            _log.warning("schema_validation_skipped", reason=type(error).__name__)
            return False
        valid = said.get("valid") if isinstance(said, dict) else None
        if valid is False:
            raise SchemaError(_details(said.get("errors")), str(said.get("version") or "v1"))
        if valid is not True:
            _log.warning("schema_validation_skipped", reason="no verdict", status=reply.status_code)
        return valid is True

    def close(self) -> None:
        """Close the connections to the service."""
        self._client.close()


def _details(faults: Any) -> tuple[dict[str, str], ...]:
    """Return what the service found, in the shape of the API whatever it sent."""
    listed = faults if isinstance(faults, list) else []
    return tuple(
        {"field": str(fault.get("field", "")), "message": str(fault.get("message", ""))}
        for fault in listed
        if isinstance(fault, dict)
    )
