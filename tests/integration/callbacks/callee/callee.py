"""A function that does what a callback asks of it."""

import json
import time
from pathlib import Path
from typing import Any


def handler(event: Any, context: Any) -> Any:
    """Do what `do` says, by default give the event back."""
    if not isinstance(event, dict) or "do" not in event:
        return event
    return globals()["_" + event["do"]](event, context)


def _raise(event: Any, context: Any) -> Any:
    raise LookupError(event["message"])


def _nap(event: Any, context: Any) -> Any:
    time.sleep(event["seconds"])
    return event["number"]


def _note(event: Any, context: Any) -> Any:
    Path(event["file"]).write_text(json.dumps(event))
    return None


def _text(event: Any, context: Any) -> Any:
    return "x" * event["length"]


def _told(event: Any, context: Any) -> Any:
    return {"context": context.client_context.custom, "arn": context.invoked_function_arn}
