"""The local HTTP server: the Lambda handler behind a socket.

Owns HTTP and nothing else (EV-9): it turns a request into the event that an HTTP API would send, lets a thread run
the handler, and sends back status, headers and body as they are. One thread has one database connection.
"""

import asyncio
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from producer import answers
from producer.lambda_handler import write_answer

Handler = Callable[[dict[str, Any]], dict[str, Any]]

_log = structlog.get_logger()

# Of a body that is too long this much is read and forgotten, because a sender who is cut off in the middle of sending
# often sees a broken connection instead of the answer.
_DRAINED_BYTES = 64 * 1024 * 1024


class TooLargeError(Exception):
    """The body passes the limit."""


def application(handler: Handler, threads: ThreadPoolExecutor, max_body_bytes: int) -> ASGIApp:
    """Return an ASGI application that answers every HTTP request through `handler`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        request = Request(scope, receive)
        request_id = str(uuid4())
        try:
            body = await _read(request, max_body_bytes)
        except TooLargeError:
            output = write_answer(answers.too_large(max_body_bytes))
        except ClientDisconnect:
            _log.info("client_disconnected", request_id=request_id, path=request.url.path)
            return
        else:
            event = lambda_event(request, body, request_id)
            output = await asyncio.get_running_loop().run_in_executor(threads, handler, event)
        await Response(output["body"], output["statusCode"], output["headers"])(scope, receive, send)
        _log.info(
            "request",
            request_id=request_id,
            method=request.method,
            path=request.url.path,
            status=output["statusCode"],
            milliseconds=round((time.perf_counter() - began) * 1000, 2),
        )

    return answer


def lambda_event(request: Request, body: bytes, request_id: str) -> dict[str, Any]:
    """Return a request as an HTTP API event, payload format 2.0; a body that is not UTF-8 goes as base64."""
    try:
        text, encoded = body.decode(), False
    except UnicodeDecodeError:
        text, encoded = b64encode(body).decode(), True
    path = request.url.path
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.url.query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "http": {
                "method": request.method,
                "path": path,
                "protocol": f"HTTP/{request.scope['http_version']}",
                "sourceIp": request.client.host if request.client else "",
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "stage": "$default",
            "timeEpoch": round(time.time() * 1000),
        },
        "body": text,
        "isBase64Encoded": encoded,
    }


async def _read(request: Request, limit: int) -> bytes:
    """Return the body.

    Raises:
        TooLargeError: It is longer than `limit` bytes.
    """
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.stream():
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
