"""Owns the Runtime API that the runtime interface client calls (version 2018-06-01), one instance to a port.

Must never answer for an instance other than that of the port. A call costs no routing table: the paths are four.
"""

import json
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stack.lambdas.faults import RESPONSE_BYTES, Outcome, response_too_large
from stack.lambdas.instance import Instance, RuntimeRefusedError
from stack.lambdas.pool import Pool

_BASE: Final = "/2018-06-01/runtime/"


class RuntimeApi:
    """The ASGI application at the ports of the instances."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        instance = self._pool.at(scope["server"][1])
        request = Request(scope, receive)
        try:
            response = await self._answer(request, instance) if instance else _refusal(410, "no instance here")
        except RuntimeRefusedError:
            response = _refusal(403, "not in this state")
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request, instance: Instance) -> Response:
        path = request.scope["path"].removeprefix(_BASE)
        match (request.method, *path.split("/")):
            case "GET", "invocation", "next":
                return await _next(instance)
            case "POST", "invocation", request_id, "response":
                body = await request.body()
                if len(body) > RESPONSE_BYTES:
                    instance.answer(request_id, response_too_large(len(body)))
                    return _refusal(413, "the response is too large", "Function.ResponseSizeTooLarge")
                instance.answer(request_id, Outcome(body))
                return _accepted()
            case "POST", "invocation", request_id, "error":
                instance.answer(request_id, await _failure(request))
                return _accepted()
            case "POST", "init", "error":
                instance.fail_init(await _failure(request))
                return _accepted()
        return _refusal(404, "no such path")


async def _next(instance: Instance) -> Response:
    given = await instance.fetch()
    headers = {
        "Lambda-Runtime-Aws-Request-Id": given.request_id,
        "Lambda-Runtime-Deadline-Ms": str(given.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": given.arn,
        "Lambda-Runtime-Trace-Id": given.trace_id,
    }
    if given.client_context:
        headers["Lambda-Runtime-Client-Context"] = given.client_context
    return Response(given.payload, headers=headers, media_type="application/json")


async def _failure(request: Request) -> Outcome:
    """Return a reported error, with its type; the body goes to the caller as it is."""
    body = await request.body()
    try:
        error = json.loads(body)["errorType"]
    except (ValueError, KeyError, TypeError):
        error = None
    return Outcome(body, error if isinstance(error, str) and error else "Unknown")


def _accepted() -> Response:
    return Response(b'{"status":"OK"}', 202, media_type="application/json")


def _refusal(status: int, message: str, error: str = "InvalidStateTransition") -> Response:
    body = json.dumps({"errorType": error, "errorMessage": message})
    return Response(body, status, media_type="application/json")
