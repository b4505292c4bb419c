"""Run one consumer: `python -m consumers --topic TOPIC --group GROUP`."""

import logging
import os
import signal
import sys
import threading
from typing import Annotated

import structlog
import typer
from confluent_kafka import KafkaException
from pydantic import ValidationError

from consumers.consumer import Consumer
from consumers.display import Display
from consumers.settings import ConsumerSettings
from database import DatabaseSettings


def main(
    topic: Annotated[str, typer.Option(envvar="KAFKA_TOPIC", help="The topic to read.")],
    group: Annotated[str, typer.Option(envvar="CONSUMER_GROUP_ID", help="The consumer group.")],
) -> None:
    """Log every record of one topic until SIGTERM or Ctrl-C; offsets are committed after a record is handled."""
    try:
        settings = ConsumerSettings(kafka_topic=topic, consumer_group_id=group)
        database = DatabaseSettings() if os.environ.get("DATABASE_URL") else None
    except ValidationError as error:
        sys.stderr.write(f"the consumer cannot start: {error}\n")
        raise typer.Exit(2) from None
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
        ),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    display = Display(settings.display_timezone, database)
    try:
        Consumer(settings, display).run(stop)
    except KafkaException as error:
        sys.stderr.write(f"the broker refuses this consumer: {error.args[0]}; check its address and credentials\n")
        raise typer.Exit(1) from error
    finally:
        display.close()


if __name__ == "__main__":
    typer.run(main)
