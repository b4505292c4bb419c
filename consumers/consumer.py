"""Owns the loop of one consumer: wait for the topic, read, hand over, then mark the offset as handled.

An offset is marked only after its record was handled or lies in the dead-letter topic, so a crash repeats records and
loses none. Must never know what a handler does.
"""

import threading
import time
from collections.abc import Callable

import confluent_kafka
import structlog
import tenacity
from confluent_kafka import KafkaError, KafkaException, Message

from consumers.dead_letters import DeadLetters
from consumers.record import Record, Undecodable, decode
from consumers.settings import ConsumerSettings

Handler = Callable[[Record, Message], None]

_log = structlog.get_logger()

_POLL_SECONDS = 0.2
_QUICK_TRIES = 10
_TOPIC_WAIT_SECONDS = 5.0


class Consumer:
    """Read one topic as a member of one group.

    Args:
        settings: Broker, topic, group, attempts.
        handler: Called with each record; an exception means that it could not be handled.
    """

    def __init__(self, settings: ConsumerSettings, handler: Handler) -> None:
        self._settings = settings
        self._handler = handler
        self._dead_letters = DeadLetters(settings)
        self._alive_again = 0.0
        self._retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(settings.handler_attempts),
            wait=tenacity.wait_exponential(settings.handler_wait_seconds, max=10),
            reraise=True,
        )

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then commit what was handled and leave the group.

        Raises:
            confluent_kafka.KafkaException: The broker refuses this client for good, for example its credentials.
        """
        reader = confluent_kafka.Consumer(self._settings.group(), logger=_Quiet())
        try:
            if self._wait_for_topic(reader, stop):
                reader.subscribe([self._settings.kafka_topic])
                _log.info("consumer_started", topic=self._settings.kafka_topic, group=self._settings.consumer_group_id)
                while not stop.is_set():
                    message = reader.poll(_POLL_SECONDS)
                    self._say_alive()
                    if message is not None:
                        self._take(reader, message)
        finally:
            reader.close()
            self._dead_letters.close()
            _log.info("consumer_stopped", topic=self._settings.kafka_topic, group=self._settings.consumer_group_id)

    def _wait_for_topic(self, reader: confluent_kafka.Consumer, stop: threading.Event) -> bool:
        """Ask for the topic by its metadata, so that no record is read on the way (FL-86); False when told to stop."""
        attempt = 0
        while not stop.is_set():
            try:
                found = reader.list_topics(self._settings.kafka_topic, timeout=5)
                if found.topics[self._settings.kafka_topic].error is None:
                    return True
                reason = "the topic does not exist"
            except KafkaException as error:
                reason = str(error.args[0])
            attempt += 1
            log = _log.info if attempt <= _QUICK_TRIES else _log.warning
            log("topic_missing", topic=self._settings.kafka_topic, attempt=attempt, reason=reason)
            stop.wait(_TOPIC_WAIT_SECONDS)
        return False

    def _say_alive(self) -> None:
        """Touch the file that tells a supervisor that the loop goes round, at most once a second."""
        if self._settings.consumer_alive_file is not None and time.monotonic() >= self._alive_again:
            self._settings.consumer_alive_file.touch()
            self._alive_again = time.monotonic() + 1

    def _take(self, reader: confluent_kafka.Consumer, message: Message) -> None:
        if error := message.error():
            if error.fatal() or error.code() in _FINAL:
                raise KafkaException(error)
            _log.warning("broker_error", reason=error.str())
            return
        value = message.value()
        if value is None:
            _log.debug("tombstone", partition=message.partition(), offset=message.offset())
        else:
            self._handle(value, message)
        reader.store_offsets(message=message)

    def _handle(self, value: bytes, message: Message) -> None:
        try:
            record = decode(value)
            self._retry(self._handler, record, message)
        except Undecodable as error:
            self._dead_letters.put(message, error)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, its record must not be lost
            self._dead_letters.put(message, error)


_FINAL = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own name for a local error
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)
"""What no waiting mends: the operator has to change something."""


class _Quiet:
    """Take librdkafka's own log lines as events instead of lines on standard error."""

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Pass one line on; `level` is the standard library's."""
        _log.debug("librdkafka", severity=level, line=message % arguments if arguments else message)
