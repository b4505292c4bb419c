"""A request as an HTTP API hands it to a function that a test calls in its own process."""

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Context:
    """What of the Lambda context is used."""

    seconds: float
    function_name: str = "todos"
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    began: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left."""
        return round((self.began + self.seconds - time.monotonic()) * 1000)


def event_of(method: str, target: str, headers: dict[str, str], body: str | None) -> dict[str, Any]:
    """Return the event of payload format 2.0, of one `$default` route, without path parameters."""
    url = urlsplit(target)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": url.path,
        "rawQueryString": url.query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "queryStringParameters": dict(parse_qsl(url.query)),
        "requestContext": {"http": {"method": method, "path": url.path}, "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }
