"""Owns the translation between HTTP and the events of an HTTP API, payload format 2.0. Must never call a function.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import json
import re
import time
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

API_ID: Final = "local"

# Of a connection and not of a message, so a gateway never hands them on; the length is that of what is sent.
_HOP_BY_HOP: Final = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

_OF_THE_GATEWAY: Final = _HOP_BY_HOP | {"cookie", "x-forwarded-port", "x-forwarded-proto"}

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, section 5.6.2); the server sends what it is given."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_BODILESS: Final = frozenset({204, 205, 304})


class MalformedAnswerError(Exception):
    """What the function returned cannot be an HTTP response."""


def event(request: Request, body: bytes, request_id: str, account: str) -> dict[str, Any]:
    """Return a request as the event that a function behind the route `$default` of the stage `$default` gets."""
    now = datetime.now(UTC)
    # As it was sent but decoded once, as API Gateway gives it.
    path = request.scope["path"]
    host = request.headers.get("host", "")
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.url.query,
        "headers": _headers(request),
        "requestContext": {
            "accountId": account,
            "apiId": API_ID,
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": f"HTTP/{request.scope['http_version']}",
                "sourceIp": request.client.host if request.client else "",
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": round(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies := [each for line in request.headers.getlist("cookie") for each in _cookies(line)]:
        made["cookies"] = cookies
    if query := _joined(parse_qsl(request.url.query, keep_blank_values=True)):
        made["queryStringParameters"] = query
    if body:
        made["isBase64Encoded"] = not _is_text(request.headers, body)
        made["body"] = b64encode(body).decode() if made["isBase64Encoded"] else body.decode()
    return made


def response(payload: bytes) -> Response:
    """Return the HTTP response that a function's answer means.

    An object with `statusCode` says all itself; whatever else is JSON becomes the body of a 200.

    Raises:
        MalformedAnswerError: It is no JSON, or a part of it has the wrong type.
    """
    try:
        answer = json.loads(payload)
    except ValueError:
        raise MalformedAnswerError("not JSON") from None
    if not isinstance(answer, dict) or "statusCode" not in answer:
        # A text is the body itself, not its JSON.
        body = answer.encode() if isinstance(answer, str) else payload
        return Response(body, 200, media_type="application/json")
    status, body = _status(answer["statusCode"]), _body(answer)
    made = Response(b"" if status in _BODILESS else body, status)
    for name, value in _mapping(answer, "headers").items():
        if name.lower() in _HOP_BY_HOP:
            continue
        if not _TOKEN.fullmatch(name) or not isinstance(value, str | int | float):
            raise MalformedAnswerError("a header's name or value")
        made.headers[name] = _one_line(str(value).lower() if isinstance(value, bool) else str(value))
    made.headers.setdefault("content-type", "text/plain;charset=UTF-8")
    cookies = answer.get("cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(each, str) for each in cookies):
        raise MalformedAnswerError("cookies")
    for cookie in cookies:
        made.headers.append("set-cookie", _one_line(cookie))
    return made


def _headers(request: Request) -> dict[str, str]:
    """Return the headers in lower case, those of one name joined by commas; cookies have a field of their own."""
    sender = request.client.host if request.client else ""
    said = [(name, value) for name, value in request.headers.items() if name not in _OF_THE_GATEWAY]
    added = [
        ("content-length", request.headers.get("content-length", "0")),
        # Each proxy on the way adds to the list of senders; the rest is what the last one saw.
        ("x-forwarded-for", sender),
        ("x-forwarded-port", str(request.url.port or 80)),
        ("x-forwarded-proto", request.url.scheme),
    ]
    if "x-amzn-trace-id" not in request.headers:
        added.append(("x-amzn-trace-id", f"Root=1-{int(time.time()):08x}-{uuid4().hex[:24]}"))
    return _joined([*said, *added])


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _cookies(line: str) -> list[str]:
    return [each.strip() for each in line.split(";") if each.strip()]


def _is_text(headers: Headers, body: bytes) -> bool:
    """Return whether a body goes as text: by its type, as API Gateway decides, and only if it is UTF-8."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    named = kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))
    if not named:
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


_TEXT_TYPES: Final = frozenset({"application/json", "application/javascript", "application/xml"})


def _status(value: Any) -> int:
    try:
        status = int(value) if not isinstance(value, bool | float) else 0
    except (TypeError, ValueError):
        status = 0
    if not 200 <= status <= 599:
        raise MalformedAnswerError("statusCode")
    return status


def _body(answer: dict[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswerError("body")
    if answer.get("isBase64Encoded") is not True:
        return body.encode(errors="replace")
    try:
        return b64decode(body, validate=True)
    except ValueError:
        raise MalformedAnswerError("body is not base64") from None


def _mapping(answer: dict[str, Any], name: str) -> dict[str, Any]:
    value = answer.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedAnswerError(name)
    return value


def _one_line(text: str) -> str:
    """Return a header's value, which must not begin another header.

    Raises:
        MalformedAnswerError: It has a line end or what else HTTP cannot carry.
    """
    if _CONTROL.search(text):
        raise MalformedAnswerError("a header with a control character")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise MalformedAnswerError("a header that is not Latin-1") from None
    return text
