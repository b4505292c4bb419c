"""Write logs as JSON lines on standard output, where Lambda collects them."""

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Send events of `level` (debug, info, warn, error) and above to standard output; of libraries only warnings.

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
            # The trace as text: frames with their variables would hold passwords.
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(),
    )
    logging.basicConfig(stream=sys.stdout, level=max(number, logging.WARNING), force=True)
