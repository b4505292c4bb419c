"""Write logs as JSON lines on standard output."""

import logging

import structlog


def configure(level: str) -> None:
    """Send structlog events of `level` (debug, info, warning, error) and above to standard output as JSON.

    Raises:
        ValueError: No such level; the message names LOG_LEVEL and the levels.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"LOG_LEVEL is {level!r}: set debug, info, warn or error"
        raise ValueError(message)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
