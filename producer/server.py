"""The local HTTP server: the Lambda handler behind a socket.

Owns HTTP and nothing else (EV-9): it turns a request into the event that an HTTP API would send, lets a thread run
the handler, and sends back status, headers and body as they are. One thread has one database connection.
"""

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import structlog

from producer import answers
from producer.lambda_handler import write_answer
from producer.workers import Workers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[dict[str, Any]], dict[str, Any]]

_NO_CONTENT: Final = 204
"""The one status of ours whose answer says nothing of a length (RFC 9110, 8.6)."""

_log = structlog.get_logger()

# Of a body that is too long this much is read and forgotten, because a sender who is cut off in the middle of sending
# often sees a broken connection instead of the answer.
_DRAINED_BYTES = 64 * 1024 * 1024


class TooLargeError(Exception):
    """The body passes the limit."""


class DisconnectError(Exception):
    """The client has gone before its request was complete."""


def application(handler: Handler, workers: Workers, max_body_bytes: int) -> "ASGIApp":
    """Return an ASGI application that answers every HTTP request through `handler`."""

    async def answer(scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        request_id = str(uuid4())
        try:
            body = await _read(receive, max_body_bytes)
        except TooLargeError:
            output = write_answer(answers.too_large(max_body_bytes))
        except DisconnectError:
            _log.info("client_disconnected", request_id=request_id, path=scope["path"])
            return
        else:
            output = await workers.run(partial(handler, lambda_event(scope, body, request_id)))
        await _write(output, send)
        _log.info(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
            status=output["statusCode"],
            milliseconds=round((time.perf_counter() - began) * 1000, 2),
        )

    return answer


def lambda_event(scope: Mapping[str, Any], body: bytes, request_id: str) -> dict[str, Any]:
    """Return a request as an HTTP API event, payload format 2.0; a body that is not UTF-8 goes as base64.

    Args:
        scope: The ASGI scope of the request.
        body: All of its body.
        request_id: As API Gateway would give it one.
    """
    try:
        text, encoded = body.decode(), False
    except UnicodeDecodeError:
        text, encoded = b64encode(body).decode(), True
    path, client = scope["path"], scope.get("client")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": scope["query_string"].decode("latin-1"),
        "headers": headers,
        "requestContext": {
            "http": {
                "method": scope["method"],
                "path": path,
                "protocol": f"HTTP/{scope['http_version']}",
                "sourceIp": client[0] if client else "",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "stage": "$default",
            "timeEpoch": round(time.time() * 1000),
        },
        "body": text,
        "isBase64Encoded": encoded,
    }


async def _write(output: Mapping[str, Any], send: "Send") -> None:
    status, body = output["statusCode"], output["body"].encode()
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in output["headers"].items()]
    if status != _NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: "Receive", limit: int) -> bytes:
    """Return the body.

    Raises:
        TooLargeError: It is longer than `limit` bytes.
        DisconnectError: The client has gone.
    """
    chunks: list[bytes] = []
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectError
        more, chunk = message.get("more_body", False), message.get("body", b"")
        length += len(chunk)
        if length <= limit:
            chunks.append(chunk)
        elif length > limit + _DRAINED_BYTES:
            break
        else:
            chunks.clear()
    if length > limit:
        raise TooLargeError
    return b"".join(chunks)
