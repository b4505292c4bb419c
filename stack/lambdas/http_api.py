"""Owns an HTTP API before one function, as API Gateway's HTTP APIs are: each request is an invocation, waited for.

Must never show a caller what went wrong inside: AWS answers with a general text, and the log has the reason.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
"""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stack.lambdas.bodies import read_body
from stack.lambdas.faults import SYNC_BYTES, ApiError
from stack.lambdas.http_event import MalformedAnswerError, event, response
from stack.lambdas.invoking import Call, Invoker, Result
from stack.lambdas.registry import Api, Configuration

_log = structlog.get_logger()

BODY_BYTES: Final = 10 * 1024 * 1024
"""The largest body that an HTTP API takes."""

_THROTTLED: Final = 429


class HttpApi:
    """The ASGI application at the port of one API."""

    def __init__(self, service: Configuration, api: Api, invoker: Invoker) -> None:
        self._service = service
        self._api = api
        self._function = service.functions[api.function]
        self._invoker = invoker
        self._under_way: set[asyncio.Task[Result]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = str(uuid4())
        try:
            answer = await self._answer(Request(scope, receive), request_id)
        except ClientDisconnect:
            return
        answer.headers["apigw-requestid"] = request_id
        await answer(scope, receive, send)

    async def _answer(self, request: Request, request_id: str) -> Response:
        try:
            body = await read_body(request, BODY_BYTES)
        except ApiError:
            return _message(413, "Request Entity Too Large")
        given = event(request, body, request_id, self._service.account)
        payload = json.dumps(given).encode()
        # Lambda takes less than the API does, in an event that is longer than the body.
        if len(payload) > SYNC_BYTES:
            return _message(413, "Request Entity Too Large")
        return await self._invoke(Call(payload, trace_id=given["headers"]["x-amzn-trace-id"]))

    async def _invoke(self, call: Call) -> Response:
        try:
            result = await self._in_time(self._invoker.invoke(self._function, call))
        except TimeoutError:
            return self._failed(call, 503, "the API's time is over")
        except ApiError as refused:
            return self._failed(call, 503 if refused.status == _THROTTLED else 500, refused.name)
        error = result.outcome.error
        if error:
            return self._failed(call, 503 if error == "Sandbox.Timedout" else 502, error)
        try:
            return response(result.outcome.body)
        except MalformedAnswerError as malformed:
            return self._failed(call, 502, f"malformed answer: {malformed}")

    async def _in_time(self, invocation: Coroutine[Any, Any, Result]) -> Result:
        """Wait as long as the API does; the function goes on after that, as it does on AWS.

        Raises:
            TimeoutError: It takes longer.
        """
        task = asyncio.create_task(invocation)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.wait_for(asyncio.shield(task), self._api.timeout_seconds)

    def _ended(self, task: asyncio.Task[Result]) -> None:
        self._under_way.discard(task)
        # Whoever waited has it; of one that nobody waits for any longer, the invocation's own log line tells.
        if not task.cancelled():
            task.exception()

    def _failed(self, call: Call, status: int, reason: str) -> Response:
        _log.warning(
            "api_failed", function=self._function.name, request_id=call.request_id, status=status, reason=reason
        )
        return _message(status, "Service Unavailable" if status == 503 else "Internal Server Error")


def _message(status: int, text: str) -> Response:
    return Response(json.dumps({"message": text}), status, media_type="application/json")
