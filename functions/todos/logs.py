"""One log for all: what the database package writes goes through the logger of the function, with its request id."""

from typing import Any

import structlog
from aws_lambda_powertools import Logger
from structlog.typing import EventDict, WrappedLogger


def through(logger: Logger) -> None:
    """Send structlog's events through this logger."""

    def hand_over(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        fields: dict[str, Any] = dict(event)
        name = str(fields.pop("event", method))
        write = {"warning": logger.warning, "error": logger.error, "debug": logger.debug}.get(method, logger.info)
        write(name, extra=fields)
        raise structlog.DropEvent

    structlog.configure(processors=[hand_over])
