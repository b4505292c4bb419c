"""The Lambda: `functions.todos.handler.handler`, for HTTP APIs (payload 2.0) and REST APIs (1.0).

Owns what surrounds a request: its deadline, its log line and its metrics (LC-141). A log line has timestamp, level,
request id and function name, and never a body; metrics are CloudWatch's embedded format on standard output.
"""

import os
import time
from functools import cache
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, APIGatewayRestResolver
from aws_lambda_powertools.metrics import MetricUnit

from database import Deadline
from functions.todos import logs
from functions.todos.api import Api, answer, failed, no_endpoint
from functions.todos.settings import TodoSettings
from functions.todos.system import System

SERVICE: Final = "todos"
NAMESPACE: Final = "Headwater"

# What a request needs after its last attempt, to answer before the function is stopped.
_ANSWER_SECONDS: Final = 2.0


class Application:
    """Answer events with the stores that the settings name."""

    def __init__(self, settings: TodoSettings, system: System | None = None) -> None:
        self._settings = settings
        self._deadline = Deadline.after(0)
        self.logger = Logger(service=SERVICE, level=settings.log_level.upper(), utc=True)
        self._metrics = Metrics(namespace=NAMESPACE, service=SERVICE)
        logs.through(self.logger)
        self.system = system or System.of(settings)
        self._http = self._resolver(APIGatewayHttpResolver())
        self._rest = self._resolver(APIGatewayRestResolver())

    def _resolver(self, resolver: Any) -> Any:
        resolver.include_router(Api(self.system, lambda: self._deadline).router)
        resolver.exception_handler(Exception)(lambda error: failed(error, self.logger))
        resolver.not_found(lambda _error: no_endpoint())
        return resolver

    def answer(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Answer one event; one at a time in a process, as Lambda gives them. Raises nothing."""
        began = time.perf_counter()
        seconds = self._settings.request_seconds
        if context is not None:
            seconds = context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS
            self.logger.structure_logs(append=True, request_id=context.aws_request_id, function=context.function_name)
        self._deadline = Deadline.after(seconds)
        method, path = _target(event)
        try:
            given = self._http if "http" in event.get("requestContext", {}) else self._rest
            answered: dict[str, Any] = given.resolve(event, context) if method else _no_request()
        except Exception as error:  # noqa: BLE001 - a gateway may send anything
            answered = _plain(failed(error, self.logger))
        milliseconds = (time.perf_counter() - began) * 1000
        status = int(answered["statusCode"])
        self.logger.info("request", method=method, path=path, status=status, milliseconds=round(milliseconds, 3))
        self._measure(method, status, milliseconds)
        return answered

    def _measure(self, method: str, status: int, milliseconds: float) -> None:
        self._metrics.add_dimension(name="method", value=method or "none")
        self._metrics.add_metric("Requests", MetricUnit.Count, 1)
        self._metrics.add_metric("ClientErrors", MetricUnit.Count, int(400 <= status < 500))
        self._metrics.add_metric("ServerErrors", MetricUnit.Count, int(status >= 500))
        self._metrics.add_metric("Duration", MetricUnit.Milliseconds, milliseconds)
        self._metrics.flush_metrics()


def _target(event: dict[str, Any]) -> tuple[str, str]:
    http = event.get("requestContext", {}).get("http", {})
    method = http.get("method") or event.get("httpMethod") or ""
    return str(method), str(event.get("rawPath") or event.get("path") or "")


def _no_request() -> dict[str, Any]:
    return _plain(answer(400, {"error": "The event is no HTTP request of API Gateway"}))


def _plain(response: Any) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", **response.headers}
    return {"statusCode": response.status_code, "headers": headers, "body": response.body, "isBase64Encoded": False}


@cache
def application() -> Application:
    """Return the application of this process, made at the first call and kept between warm invocations."""
    return Application(TodoSettings())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return application().answer(event, context)


# In Lambda a missing variable must stop the start, not answer the first request.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    application()
