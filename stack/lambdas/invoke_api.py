"""Owns the part of AWS's Lambda API that callers use: Invoke, GetFunction, GetFunctionConfiguration, ListFunctions.

Must never show an environment. A signature is not looked at: the service listens for this machine only.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stack.lambdas.bodies import read_body
from stack.lambdas.events import Events
from stack.lambdas.faults import EVENT_BYTES, SYNC_BYTES, ApiError, invalid_content, invalid_parameter
from stack.lambdas.invoking import Call, Invoker
from stack.lambdas.pool import Pool
from stack.lambdas.registry import LATEST, Configuration, Function

_BASE: Final = "/2015-03-31/functions"

_Answer = Callable[[Request], Awaitable[Response]]


class InvokeApi:
    """The calls of the API."""

    def __init__(self, service: Configuration, pool: Pool, invoker: Invoker, events: Events) -> None:
        self._service = service
        self._pool = pool
        self._invoker = invoker
        self._events = events

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route(_BASE + "/{name}/invocations", _guarded(self._invoke), methods=["POST"]),
                Route(_BASE + "/{name}/configuration", _guarded(self._get_configuration)),
                Route(_BASE + "/{name}", _guarded(self._get)),
                Route(_BASE, _guarded(self._list)),
                Route(_BASE + "/", _guarded(self._list)),
                Route("/health", self._health),
            ]
        )

    async def _invoke(self, request: Request) -> Response:
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        if kind not in {"RequestResponse", "Event", "DryRun"}:
            raise invalid_parameter(f"InvocationType {kind!r}: give RequestResponse, Event or DryRun")
        function = self._find(request)
        payload = await read_body(request, EVENT_BYTES if kind == "Event" else SYNC_BYTES)
        call = Call(
            _checked(payload or b"{}"),
            client_context=_client_context(request.headers.get("x-amz-client-context", "")),
            trace_id=request.headers.get("x-amzn-trace-id", ""),
        )
        headers = {"x-amzn-requestid": call.request_id}
        if kind == "DryRun":
            return Response(None, 204, headers)
        if kind == "Event":
            self._events.accept(function, call)
            return Response(None, 202, headers)
        result = await self._invoker.invoke(function, call)
        headers["x-amz-executed-version"] = LATEST
        if result.outcome.error:
            # "Handled" was told by runtimes of old; the runtime interface client reports every error in one way.
            headers["x-amz-function-error"] = "Unhandled"
        if request.headers.get("x-amz-log-type") == "Tail":
            headers["x-amz-log-result"] = b64encode(result.log).decode()
        return Response(result.outcome.body, 200, headers, "application/json")

    async def _get(self, request: Request) -> Response:
        function = self._find(request)
        answer: dict[str, Any] = {"Configuration": self._configuration(function), "Code": {}}
        if function.concurrency is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": function.concurrency}
        return _json(answer)

    async def _get_configuration(self, request: Request) -> Response:
        return _json(self._configuration(self._find(request)))

    async def _list(self, _request: Request) -> Response:
        return _json({"Functions": [self._configuration(each) for each in self._service.functions.values()]})

    async def _health(self, _request: Request) -> Response:
        return _json({"status": "ok", "functions": self._pool.counts()})

    def _find(self, request: Request) -> Function:
        return self._service.find(request.path_params["name"], request.query_params.get("Qualifier", ""))

    def _configuration(self, function: Function) -> dict[str, Any]:
        return {
            "FunctionName": function.name,
            "FunctionArn": self._service.arn(function.name),
            "Handler": function.handler,
            "MemorySize": function.memory_mb,
            # The API has whole seconds.
            "Timeout": max(1, round(function.timeout_seconds)),
            "PackageType": "Zip",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Version": LATEST,
        }


def _guarded(answer: _Answer) -> _Answer:
    """Let refusals be answered as the SDK expects them."""

    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except ApiError as error:
            headers = {"x-amzn-errortype": error.name, "x-amzn-requestid": str(uuid4())}
            return _json(error.body, error.status, headers)

    return guarded


def _json(document: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(document), status, headers, "application/json")


def _checked(payload: bytes) -> bytes:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        # Without the text around the place, which is the caller's data.
        raise invalid_content(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    return payload


def _client_context(header: str) -> str:
    """Return the client context as JSON on one line of ASCII, which is what a header can carry."""
    if not header:
        return ""
    try:
        return json.dumps(json.loads(b64decode(header, validate=True)))
    except ValueError:
        raise invalid_content("ClientContext is not JSON in base64") from None
