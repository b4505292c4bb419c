"""Owns the loop of one consumer: wait for the topic, read, hand over, then mark the offset as handled.

An offset is marked only after its record was handled or lies in the dead-letter topic, so a crash repeats records and
loses none. A record whose schema cannot be had now is read again later. Must never know what a handler does.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import confluent_kafka
import structlog
import tenacity
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from consumers.dead_letters import DeadLetters
from consumers.record import Record, Schemas, SchemasUnavailableError, Undecodable, decode
from consumers.settings import ConsumerSettings

Handler = Callable[[Record, Message], None]

_log = structlog.get_logger()

_POLL_SECONDS = 0.2
_QUICK_TRIES = 10
_TOPIC_WAIT_SECONDS = 5.0
_LONGEST_SCHEMA_WAIT_SECONDS = 5.0


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
        self._schemas: Schemas | None = None
        self._unavailable = 0
        self._refused: KafkaError | None = None
        self._trouble = ""

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then commit what was handled and leave the group.

        Raises:
            confluent_kafka.KafkaException: The broker refuses this client for good, for example its credentials.
        """
        # What goes wrong on a connection is told to this function alone, not to who waits for an answer.
        reader = confluent_kafka.Consumer(self._settings.group() | {"error_cb": self._note}, logger=_Quiet())
        try:
            with self._registry():
                if self._wait_for_topic(reader, stop):
                    self._read(reader, stop)
        finally:
            reader.close()
            self._dead_letters.close()
            _log.info("consumer_stopped", topic=self._settings.kafka_topic, group=self._settings.consumer_group_id)

    @contextmanager
    def _registry(self) -> Iterator[None]:
        if not self._settings.schema_registry_url:
            yield
            return
        # Only who asks for Avro pays for its library, in memory and in time to start.
        from consumers.registry import Registry  # noqa: PLC0415

        registry = Registry(self._settings.schema_registry_url, self._settings.schema_registry_config)
        self._schemas = registry
        try:
            yield
        finally:
            registry.close()

    def _read(self, reader: confluent_kafka.Consumer, stop: threading.Event) -> None:
        reader.subscribe([self._settings.kafka_topic])
        _log.info("consumer_started", topic=self._settings.kafka_topic, group=self._settings.consumer_group_id)
        while not stop.is_set():
            message = reader.poll(_POLL_SECONDS)
            self._say_alive()
            if self._refused is not None:
                raise KafkaException(self._refused)
            if message is not None:
                self._take(reader, message, stop)

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
                # Without a subscription there is nothing to read: this only hears what went wrong.
                reader.poll(0)
                if self._refused is not None:
                    raise KafkaException(self._refused) from error
                reason = self._trouble or str(error.args[0])
            attempt += 1
            log = _log.info if attempt <= _QUICK_TRIES else _log.warning
            log("topic_missing", topic=self._settings.kafka_topic, attempt=attempt, reason=reason)
            stop.wait(_TOPIC_WAIT_SECONDS)
        return False

    def _note(self, error: KafkaError) -> None:
        """Take a connection's error: most pass by themselves, some do not."""
        if error.code() in _FINAL:
            self._refused = error
        self._trouble = error.str()

    def _say_alive(self) -> None:
        """Touch the file that tells a supervisor that the loop goes round, at most once a second."""
        if self._settings.consumer_alive_file is not None and time.monotonic() >= self._alive_again:
            self._settings.consumer_alive_file.touch()
            self._alive_again = time.monotonic() + 1

    def _take(self, reader: confluent_kafka.Consumer, message: Message, stop: threading.Event) -> None:
        if error := message.error():
            if error.fatal() or error.code() in _FINAL:
                raise KafkaException(error)
            _log.warning("broker_error", reason=error.str())
            return
        value = message.value()
        if value is None:
            _log.debug("tombstone", partition=message.partition(), offset=message.offset())
        else:
            try:
                if not self._handle(value, message, stop):
                    return
            except SchemasUnavailableError as unavailable:
                self._read_again(reader, message, unavailable, stop)
                return
        reader.store_offsets(message=message)

    def _handle(self, value: bytes, message: Message, stop: threading.Event) -> bool:
        """Return whether the record is done with: handled, or kept as a dead letter.

        Raises:
            SchemasUnavailableError: Its schema cannot be had now.
        """
        retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._settings.handler_attempts) | tenacity.stop_when_event_set(stop),
            wait=lambda state: self._settings.handler_wait(state.attempt_number),
            sleep=tenacity.sleep_using_event(stop),
            reraise=True,
        )
        try:
            record = decode(value, self._schemas)
        except Undecodable as error:
            self._dead_letters.put(message, error)
            return True
        self._unavailable = 0
        try:
            retry(self._handler, record, message)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, its record must not be lost
            if retry.statistics["attempt_number"] < self._settings.handler_attempts:
                # Told to stop before all attempts were made: the next member of the group makes them.
                return False
            self._dead_letters.put(message, error)
        return True

    def _read_again(
        self, reader: confluent_kafka.Consumer, message: Message, error: Exception, stop: threading.Event
    ) -> None:
        """Go back to a record, after a pause; the consumer stays a member of its group meanwhile."""
        self._unavailable += 1
        _log.warning("schemas_unavailable", reason=str(error), attempt=self._unavailable, offset=message.offset())
        reader.seek(TopicPartition(str(message.topic()), message.partition() or 0, message.offset() or 0))
        stop.wait(min(0.25 * 2.0 ** min(self._unavailable, 10), _LONGEST_SCHEMA_WAIT_SECONDS))


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
