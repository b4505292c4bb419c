"""Owns what happens to a record that its group could not handle: it is kept, byte-exact, with the reason (FL-84)."""

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from consumers.settings import ConsumerSettings

_log = structlog.get_logger()

_CREATE_SECONDS = 30
_FLUSH_SECONDS = 60


class DeadLetters:
    """Write to the dead-letter topic of one group; the broker is connected at the first record only."""

    def __init__(self, settings: ConsumerSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None

    def put(self, message: Message, reason: Exception) -> None:
        """Write one record with its key, value and origin, and wait until the broker has it.

        Raises:
            confluent_kafka.KafkaException: The broker does not take it: the record must not be marked as handled.
        """
        if self._producer is None:
            self._create_topic()
            settings = self._settings.connection() | {"enable.idempotence": True}
            self._producer = Producer(settings)
        refusals: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refusals.append(error)

        self._producer.produce(
            self._settings.dead_letter_topic,
            key=message.key(),
            value=message.value(),
            headers={
                "dlq-reason": f"{type(reason).__name__}: {reason}".encode(errors="replace"),
                "dlq-topic": str(message.topic()).encode(),
                "dlq-partition": str(message.partition()).encode(),
                "dlq-offset": str(message.offset()).encode(),
            },
            on_delivery=delivered,
        )
        unsent = self._producer.flush(_FLUSH_SECONDS)
        if refusals or unsent:
            raise KafkaException(*refusals or [KafkaError(KafkaError._TIMED_OUT)])  # noqa: SLF001 - librdkafka's name
        _log.error(
            "dead_letter",
            topic=self._settings.dead_letter_topic,
            partition=message.partition(),
            offset=message.offset(),
            reason=type(reason).__name__,
        )

    def _create_topic(self) -> None:
        """Create the topic unless it is there: not every broker does so by itself, as Confluent Cloud's do not."""
        name = self._settings.dead_letter_topic
        # Kept until it has answered: a client that is let go of answers nothing any more.
        admin = AdminClient(self._settings.connection())
        try:
            admin.create_topics([NewTopic(name, 1, -1)])[name].result(_CREATE_SECONDS)
        except KafkaException as error:
            # Whether it can be written is found out right after.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                _log.warning("dead_letter_topic_not_created", topic=name, reason=str(error.args[0]))

    def close(self) -> None:
        """Leave nothing unsent."""
        if self._producer is not None:
            self._producer.flush(_FLUSH_SECONDS)
