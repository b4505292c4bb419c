"""Owns what the measurement posts: one sample event as API Gateway hands it to the Lambda, each with its own id.

Must never import the producer: the cost of making a request is the measurement's, and small.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import schemas

SAMPLE = "car-created"

_HEADERS = {
    "accept": "*/*",
    "content-length": "837",
    "content-type": "application/json",
    "host": "r3pmxmplak.execute-api.us-east-1.amazonaws.com",
    "user-agent": "headwater-bench",
    "x-amzn-trace-id": "Root=1-5f84bfe1-6b3e1e1a3e6d2b5e4f9a1c2d",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-port": "443",
    "x-forwarded-proto": "https",
}


class Context:
    """Be to the handler what the Lambda runtime's own context is."""

    aws_request_id = "8f5b1b7e-2f4f-4f0a-9a52-6f1c1f6f0c11"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds of a function that has 30 seconds."""
        return 30_000


def maker(seed: int) -> Callable[[], dict[str, Any]]:
    """Return a function that makes the next HTTP API event (payload format 2.0); ids of another seed are others.

    The document is the shipped sample, and the ids of event and entity are random as those of real senders.
    """
    sample = schemas.samples()[SAMPLE]
    entity = sample["entities"][0]
    text = json.dumps(sample, separators=(",", ":"))
    before, between, *after = (
        text.replace(entity["entityHeader"]["entityId"], "\0").replace(sample["eventHeader"]["uuid"], "\0").split("\0")
    )
    bits = Random(seed).getrandbits  # noqa: S311 - names of events, no secrets

    def make() -> dict[str, Any]:
        digits = f"{bits(128):032x}"
        identity = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/api/v1/events",
            "rawQueryString": "",
            "headers": _HEADERS,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "r3pmxmplak",
                "domainName": "r3pmxmplak.execute-api.us-east-1.amazonaws.com",
                "http": {
                    "method": "POST",
                    "path": "/api/v1/events",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "203.0.113.7",
                    "userAgent": "headwater-bench",
                },
                "requestId": identity,
                "routeKey": "$default",
                "stage": "$default",
                "time": "15/Jan/2026:09:00:00 +0000",
                "timeEpoch": 1768467600000,
            },
            "body": before + identity + between + identity + identity.join(after),
            "isBase64Encoded": False,
        }

    return make
