"""The Lambda: `producer.lambda_handler.handler`.

Owns the translation between HTTP API payloads and the API's own request and answer (EV-3 to EV-5). The local server
calls the same function, so whatever it answers, a Lambda would.
"""

import binascii
import os
from base64 import b64decode
from functools import cache
from typing import Any, Protocol
from uuid import uuid4

from producer import answers, logs
from producer.answers import Answer
from producer.api import Api, Request
from producer.refusals import NotJsonError
from producer.service import Service

# What a request needs after its last attempt, to answer before the function is stopped.
_ANSWER_SECONDS = 2.0


class Context(Protocol):
    """What of the Lambda context is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


@cache
def service() -> Service:
    """Return the service of this process, made at the first call and kept between warm invocations."""
    made = Service.from_environment()
    logs.configure(made.settings.log_level)
    return made


def handler(event: dict[str, Any], context: Context | None) -> dict[str, Any]:
    """Answer one HTTP API request, payload format 2.0 or 1.0; never raises for anything a request can be."""
    mine = service()
    return answer_event(mine.api, event, context, mine.settings.request_seconds)


def answer_event(api: Api, event: Any, context: Context | None, seconds: float) -> dict[str, Any]:
    """Return the Lambda output for one event; `seconds` holds where the context does not say how long is left."""
    try:
        answer = api.handle(read_request(event, context, seconds))
    except NotJsonError as error:
        answer = answers.refused(error)
    return write_answer(answer)


def read_request(event: Any, context: Context | None, seconds: float) -> Request:
    """Return the request in an event of payload format 2.0 or 1.0 (EV-3, EV-4).

    Raises:
        NotJsonError: The body is no text, or not the base64 it claims to be.
    """
    given = event if isinstance(event, dict) else {}
    about = _mapping(given.get("requestContext"))
    http = _mapping(about.get("http"))
    method = http.get("method") or given.get("httpMethod") or ""
    path = http.get("path") or given.get("path") or given.get("rawPath") or ""
    # In format 2.0 the path of a named stage begins with the stage, in format 1.0 it does not.
    stage = about.get("stage")
    if http and isinstance(stage, str) and str(path).startswith(f"/{stage}/"):
        path = str(path).removeprefix(f"/{stage}")
    if context is not None:
        seconds = context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS
    return Request(
        method=str(method).upper(),
        path=str(path),
        body=_body(given.get("body"), encoded=bool(given.get("isBase64Encoded"))),
        request_id=str(about.get("requestId") or getattr(context, "aws_request_id", None) or uuid4()),
        seconds=seconds,
    )


def write_answer(answer: Answer) -> dict[str, Any]:
    """Return an answer as Lambda output (EV-5)."""
    return {"statusCode": answer.status, "headers": answer.headers, "body": answer.body.decode()}


def _body(body: Any, *, encoded: bool) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        raise NotJsonError("the body of the event is not text")
    try:
        return b64decode(body, validate=True) if encoded else body.encode()
    except (binascii.Error, ValueError) as error:  # a lone surrogate is a ValueError
        raise NotJsonError("the body is neither UTF-8 text nor valid base64") from error


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# In Lambda a missing variable must stop the start, not answer the first request (LC-5).
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    service()
