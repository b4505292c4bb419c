"""The Lambda that PostgreSQL calls: `callbacks.postgres_function.handler`.

Owns its actions and their answers (LC-84 to LC-89, LC-99). It has no settings, and never calls the database back: the
caller's transaction is still open and may hold locks.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from callbacks import logs
from callbacks.events import verdict

_log = structlog.get_logger()

_NEEDED: Final = ("id", "value")


def handler(event: Any, _context: object) -> dict[str, Any]:
    """Answer `{"action": …, "data": …}` with `{"statusCode": 200 or 500, "body": {…}}`; never raises.

    Args:
        event: The action is `process`, `transform`, `validate` or `validate_event`; any other gives the data back.
    """
    action = event.get("action") if isinstance(event, dict) else None
    try:
        return {"statusCode": 200, "body": _answer(event, action)}
    except Exception as error:  # noqa: BLE001 - answered, as the caller is SQL, and logged
        # Its text may repeat the data, which the caller has and a log must not.
        _log.error("action_failed", action=action, error=type(error).__name__)
        return {"statusCode": 500, "body": {"status": "error", "message": str(error)}}


def _answer(event: Any, action: object) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise TypeError('the event must be an object such as {"action": "process", "data": {}}')
    data = event.get("data")
    act = _ACTIONS.get(action) if isinstance(action, str) else None
    if act is not None:
        return act(data)
    return {"status": "success", "message": "Default action performed", "data": data}


def process(data: Any) -> dict[str, Any]:
    """Mark the data as processed (LC-85)."""
    processed = {**_members(data), "processed": True, "timestamp": _now()}
    return {"status": "success", "message": "Data processed successfully", "processedData": processed}


def transform(data: Any) -> dict[str, Any]:
    """Give the upper-cased `value` beside the data; null when it is no text (LC-86, LC-88)."""
    members = _members(data)
    value = members.get("value")
    upper = value.upper() if isinstance(value, str) else None
    transformed = {**members, "transformed": True, "uppercase": upper, "timestamp": _now()}
    return {"status": "success", "message": "Data transformed successfully", "transformedData": transformed}


def validate(data: Any) -> dict[str, Any]:
    """Say which of `id` and `value` are missing; null and an empty text are, 0 and false are not (LC-87, LC-88)."""
    members = _members(data)
    missing = [name for name in _NEEDED if members.get(name) is None or members[name] == ""]
    return {
        "status": "error" if missing else "success",
        "message": "Data is invalid" if missing else "Data is valid",
        "validationResult": {"isValid": not missing, "missingFields": missing, "timestamp": _now()},
    }


def _members(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise TypeError(f"data must be an object, not {type(data).__name__}")
    return data


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_ACTIONS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "process": process,
    "transform": transform,
    "validate": validate,
    "validate_event": verdict,
}

logs.configure("info")
