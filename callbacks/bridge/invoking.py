"""Owns one call of the Lambda service, by its Invoke API: limits, tries, and what an error is. Knows no database.

A call is made again only when it cannot have run: the service was not reached, or refused it as one too many.
Source of facts: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

import asyncio
import random
import time
from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from callbacks.bridge.calls import Answer, Call
from callbacks.bridge.sending import BrokenError, LateError, Response, Sender, UnreachableError

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.25
_WRITING: Final = 0.1
"""Seconds before the deadline, after which a failure would come too late."""


class Invoker:
    """Call the Lambda service."""

    def __init__(self, url: str, concurrency: int, clock: Callable[[], float] = time.time) -> None:
        """Call at most `concurrency` functions at once; `clock` is that of the deadlines."""
        parts = urlsplit(url)
        self._url = url
        self._base = parts.path.rstrip("/") + "/2015-03-31/functions"
        self._clock = clock
        self._sender = Sender(f"{parts.scheme}://{parts.netloc}", concurrency)

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()

    async def invoke(self, call: Call) -> Answer | None:
        """Return what the session gets; None when its time is over and nobody waits."""
        path = f"{self._base}/{quote(call.function, safe='')}/invocations"
        if call.qualifier:
            path += f"?Qualifier={quote(call.qualifier, safe='')}"
        headers = _headers(call)
        pause = _FIRST_PAUSE
        reached_by = min(self._clock() + call.connect_seconds, call.deadline - _WRITING)
        while (left := call.deadline - self._clock()) > 0:
            try:
                response = await self._sender.post(path, call.payload, headers, lambda: call.deadline - self._clock())
            except UnreachableError:
                if self._clock() + pause > reached_by:
                    return _unreachable(call, self._url)
            except BrokenError as error:
                return _broken(call, error)
            except LateError:
                return None
            else:
                last = left <= _WRITING + pause
                if response.status != HTTPStatus.TOO_MANY_REQUESTS or last:
                    return _answer(call, response)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - not for secrecy
            pause = min(2 * pause, _LONGEST_PAUSE)
        return None


def _headers(call: Call) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "X-Amz-Invocation-Type": call.kind, "X-Amz-Log-Type": call.log}
    if call.context is not None:
        headers["X-Amz-Client-Context"] = b64encode(call.context.encode()).decode()
    return headers


def _answer(call: Call, response: Response) -> Answer:
    body = response.body
    if response.status >= HTTPStatus.MULTIPLE_CHOICES:
        told = _document(body)
        name = response.headers.get("x-amzn-errortype", f"status {response.status}").split(":")[0]
        message = told.get("Message") or told.get("message") or name
        return Answer(
            call.id,
            call.deadline,
            failure="api",
            detail=f"AWS Lambda client returned '{message}'",
            hint=f"The Lambda service refused the call: {name}.",
        )
    if "x-amz-function-error" in response.headers:
        told = _document(body)
        kind, message = told.get("errorType"), told.get("errorMessage")
        detail = ": ".join(str(each) for each in (kind, message) if each)
        return Answer(call.id, call.deadline, failure="function", detail=_storable(detail or "unknown"))
    return Answer(
        call.id,
        call.deadline,
        status_code=response.status,
        payload=body or None,
        executed_version=response.headers.get("x-amz-executed-version"),
        log_result=response.headers.get("x-amz-log-result"),
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _storable(text: str) -> str:
    # PostgreSQL's text has no such character.
    return text.replace("\0", "\\u0000")


def _unreachable(call: Call, url: str) -> Answer:
    return Answer(
        call.id,
        call.deadline,
        failure="api",
        detail="AWS Lambda client returned 'Unable to connect to endpoint'",
        hint=f"Nothing listens at {url}: start the Lambda service, or set AWS_ENDPOINT_URL_LAMBDA for the bridge.",
    )


def _broken(call: Call, error: Exception) -> Answer:
    return Answer(
        call.id,
        call.deadline,
        failure="api",
        detail=f"AWS Lambda client returned 'The connection ended before the answer' ({error})",
        hint="Whether the function has run is not known; call again if it may run twice.",
    )
