"""The Lambda function of `headwater bench callbacks`: gives its event back, so that only the way to it is measured."""

from typing import Any


def handler(event: Any, _context: Any) -> Any:
    """Return the event."""
    return event
