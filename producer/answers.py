"""Every answer of the API, word for word.

Owns statuses, headers and bodies (EV-6 to EV-8, EV-18 to EV-43), so that the Lambda and the local server cannot differ
(EV-9). It decides nothing: the API picks the answer.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from producer.refusals import NotJsonError, RefusedError, SchemaError, StructureError

HEADERS: Final = {
    "Content-Type": "application/json",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
}

_UNAVAILABLE: Final = "Service Temporarily Unavailable"
_SHOWN_ERRORS: Final = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: status, headers and JSON text."""

    status: int
    body: bytes
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of every answer, and `Retry-After` where there is one."""
        if self.retry_after is None:
            return HEADERS.copy()
        return {**HEADERS, "Retry-After": str(self.retry_after)}


def _answer(status: int, members: dict[str, Any], retry_after: int | None = None) -> Answer:
    return Answer(status, orjson.dumps(members), retry_after)


def processed(event_id: str) -> Answer:
    """One event is stored (EV-18)."""
    return _answer(200, {"success": True, "message": "Event processed successfully", "event_id": event_id})


def bulk_processed(done: int, errors: list[str], batch_ms: int, took_ms: int) -> Answer:
    """Each event of an array was tried (EV-35, EV-36, EV-38); `errors` has one text for each that failed."""
    failed = len(errors)
    message = f"Processed {done} events, {failed} failed" if failed else "All events processed successfully"
    return _answer(
        200,
        {
            "success": failed == 0,
            "message": message,
            "processedCount": done,
            "failedCount": failed,
            "batchId": f"batch-{batch_ms}",
            "processingTimeMs": took_ms,
            "processed": done,
            "failed": failed,
            "total": done + failed,
            "errors": errors[:_SHOWN_ERRORS],
        },
    )


def healthy() -> Answer:
    """The database answered (EV-42)."""
    return _answer(200, {"status": "healthy", "message": "Producer API is healthy", "database": "connected"})


def unhealthy(error: str) -> Answer:
    """The database did not answer (EV-43)."""
    return _answer(503, {"status": "unhealthy", "message": "Database connection failed", "error": error})


def preflight() -> Answer:
    """A browser asks whether it may post: the headers of every answer say so."""
    return Answer(204, b"")


def refused(refusal: RefusedError) -> Answer:
    """The sender is at fault (EV-19 to EV-23, EV-46)."""
    match refusal:
        case NotJsonError():
            return _answer(400, {"error": "Invalid JSON", "status": 400})
        case SchemaError(details=details, version=version):
            error = "Schema validation failed"
            return _answer(422, {"error": error, "details": details, "version": version, "status": 422})
        case StructureError():
            return unprocessable(f"Invalid event structure: {refusal}")
        case _:
            return unprocessable(str(refusal))


def unprocessable(error: str) -> Answer:
    """The body is JSON and no event that can be stored."""
    return _answer(422, {"error": error, "status": 422})


def conflict(event_id: str) -> Answer:
    """The id is stored already (EV-24)."""
    message = f"Event with ID '{event_id}' already exists"
    return _answer(409, {"error": "Conflict", "message": message, "eventId": event_id, "status": 409})


def too_many_events(received: int, limit: int) -> Answer:
    """The array is too long (EV-30)."""
    message = f"Maximum {limit} events allowed per request"
    return _answer(400, {"error": "Too many events", "message": message, "received": received, "status": 400})


def too_large(limit: int) -> Answer:
    """The body is too long for a Lambda, and so for the local server."""
    message = f"Maximum {limit} bytes allowed per request"
    return _answer(413, {"error": "Payload Too Large", "message": message, "status": 413})


def empty_array() -> Answer:
    """The array has no event (EV-31)."""
    return unprocessable("Invalid request: events list is null or empty")


def not_found() -> Answer:
    """No such path or method (EV-7)."""
    return _answer(404, {"error": "Not Found", "status": 404})


def store_failed(message: str) -> Answer:
    """The database refused the event for a reason that is not the sender's (EV-25)."""
    return _answer(500, {"error": f"Error processing event: {message}", "status": 500})


def unexpected() -> Answer:
    """A fault of ours (EV-8)."""
    message = "An error occurred processing the request"
    return _answer(500, {"error": "Internal Server Error", "message": message, "status": 500})


def starting() -> Answer:
    """The database is being started (EV-26)."""
    return _unavailable(
        "The database is currently starting. Please retry your request in 1-2 minutes.", retry_after=120
    )


def resuming() -> Answer:
    """The database is scaling up (EV-27)."""
    return _unavailable(
        "The database is currently scaling up. Please retry your request in 30-60 seconds.", retry_after=60
    )


def unreachable() -> Answer:
    """No connection, and nobody says that the database starts (EV-28)."""
    return _unavailable(
        "Unable to connect to the database. The database may be starting. Please retry your request in a few moments.",
        retry_after=60,
    )


def _unavailable(message: str, retry_after: int) -> Answer:
    members = {"error": _UNAVAILABLE, "message": message, "status": 503, "retry_after": retry_after}
    return _answer(503, members, retry_after)
