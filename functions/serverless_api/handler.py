"""The Lambda: `functions.serverless_api.handler.handler`.

Owns that one engine serves every invocation of a process (LC-158), that a waking database is waited for no longer than
the Lambda lives (LC-154), and the one log line of each request. The translation of events is apig-wsgi's (LC-162).
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Protocol

import structlog
from apig_wsgi import make_lambda_handler

from database import Deadline
from functions import logs
from functions.serverless_api.application import create_application
from functions.serverless_api.engine import database
from functions.serverless_api.settings import in_lambda

_log = structlog.get_logger()

# What a request needs after its last attempt to connect, so that its caller gets a 503 and not a killed function.
ANSWER_SECONDS: Final = 2.5

_served = [0]


class Context(Protocol):
    """What of the Lambda context is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


@cache
def _application() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    made = database()
    logs.configure(made.settings.log_level)
    return make_lambda_handler(create_application(made))


def handler(event: dict[str, Any], context: Context | None) -> dict[str, Any]:
    """Answer one API Gateway request, payload format 1.0 or 2.0."""
    answer_to = _application()
    began = time.perf_counter()
    cold = _served[0] == 0
    _served[0] += 1
    with structlog.contextvars.bound_contextvars(request_id=getattr(context, "aws_request_id", None)):
        with database().until(deadline(context, database().settings.db_wake_seconds)):
            answer = answer_to(event, context)
        _log.info(
            "request",
            cold=cold,
            method=event.get("httpMethod") or event["requestContext"]["http"]["method"],
            path=event.get("rawPath") or event.get("path"),
            status=answer["statusCode"],
            milliseconds=round((time.perf_counter() - began) * 1000, 2),
        )
    return answer


def deadline(context: Context | None, seconds: float) -> Deadline:
    """Return until when the database may be waited for: so many seconds, or as long as the Lambda can still answer."""
    if context is not None:
        seconds = min(seconds, context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS)
    return Deadline.after(max(seconds, 0.0))


# In Lambda a missing variable must stop the start, not answer the first request.
if in_lambda():
    _application()
