"""Write logs as JSON lines on standard output, our own events and those of the libraries."""

import logging
import sys

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor


def configure(level: str) -> None:
    """Send events of `level` (debug, info, warn, error) and above to standard output; of libraries only warnings.

    Raises:
        ValueError: No such level; the message names LOG_LEVEL and the levels.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"LOG_LEVEL is {level!r}: set debug, info, warn or error"
        raise ValueError(message)
    stamped: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    json = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*stamped, json],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        ProcessorFormatter(foreign_pre_chain=stamped, processors=[ProcessorFormatter.remove_processors_meta, json])
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
