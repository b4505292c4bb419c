"""Write logs as JSON lines on standard output, where Lambda takes them from."""

import logging

import structlog


def configure(level: str) -> None:
    """Send events of `level` (debug, info, warn, error) and above to standard output.

    Raises:
        ValueError: No such level; the message names LOG_LEVEL and the levels.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"LOG_LEVEL is {level!r}: set debug, info, warn or error"
        raise ValueError(message)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=True,
    )
