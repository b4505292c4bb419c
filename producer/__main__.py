"""Run the producer as a local HTTP server: `python -m producer`.

SIGTERM and SIGINT end it gracefully: no new connection, the requests under way are answered, exit code 0.
"""

import signal
import sys
from functools import partial

import structlog
import uvicorn
from pydantic import ValidationError

from database import Deadline
from producer import lambda_handler, logs
from producer.server import application
from producer.service import Service
from producer.workers import Workers

_log = structlog.get_logger()

# Longer than a request may take, so that none is cut off while it still has hope.
_GRACE_SECONDS = 35


def main() -> int:
    """Serve until told to stop; return the exit code."""
    try:
        service = Service.from_environment()
        logs.configure(service.settings.log_level)
    except (ValidationError, ValueError) as error:
        sys.stderr.write(f"the producer cannot start: {error}\n")
        return 2
    settings = service.settings
    handler = partial(lambda_handler.answer_event, service.api, context=None, seconds=settings.request_seconds)
    # As many threads as connections are allowed, each with its own; they live as long as the process.
    workers = Workers(service.database.db_pool_max_size)
    workers.first(service.database.db_pool_min_size, partial(_warm, service))
    server = uvicorn.Server(
        uvicorn.Config(
            application(handler, workers, settings.max_body_bytes),
            host=settings.producer_host,
            port=settings.producer_port,
            access_log=False,
            log_config=None,
            loop="uvloop",
            http="httptools",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    # uvicorn repeats the signal to the process after its orderly end, which would make that a death by signal; this
    # handler takes the repetition, and a signal that comes before uvicorn listens for it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    _log.info("producer_starting", host=settings.producer_host, port=settings.producer_port)
    try:
        server.run()
    except SystemExit:
        _log.error("producer_not_started", remedy="the port is in use or not allowed: set PRODUCER_PORT")
        return 1
    finally:
        workers.close()
        service.close()
    _log.info("producer_stopped")
    return 0


def _warm(service: Service) -> None:
    """Open a thread's connection before the first request needs it; a database that is not there yet is no error."""
    try:
        service.links.mine().connection(Deadline.after(service.settings.request_seconds))
    except Exception as error:  # noqa: BLE001 - only a head start is lost
        _log.warning("database_not_reached", error=service.links.mine().public_text(error))


if __name__ == "__main__":
    sys.exit(main())
