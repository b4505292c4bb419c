"""Run the processor: `python -m flink_jobs.processor`, configured by its environment, until SIGTERM or Ctrl-C."""

import logging
import signal
import sys
from threading import Event
from typing import Final

import structlog
from pydantic import ValidationError

from flink_jobs.processor.endpoint import serving
from flink_jobs.processor.kafka import kafka_session
from flink_jobs.processor.loop import Processor, RefusedError
from flink_jobs.processor.metrics import Monitor
from flink_jobs.processor.reload import SourceError, feed_of
from flink_jobs.processor.settings import ProcessorSettings

_UNUSABLE: Final = 2


def main() -> int:
    """Return 0 after an orderly stop, 1 when something has to be changed, 2 when a variable has."""
    try:
        settings = ProcessorSettings()
    except ValidationError as error:
        faults = (f"{str(each['loc'][0] if each['loc'] else '').upper()}: {each['msg']}" for each in error.errors())
        sys.stderr.write("the processor is not configured: " + "; ".join(faults) + "\n")
        return _UNUSABLE
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    monitor = Monitor()
    try:
        feed = feed_of(settings, lambda: monitor.failed("filters_unread"))
        processor = Processor(lambda: kafka_session(settings), feed, monitor, settings.topics)
        with serving(monitor, settings.processor_http_host, settings.processor_http_port), feed.looking():
            processor.run(stop)
    except (RefusedError, SourceError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
