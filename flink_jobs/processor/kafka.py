"""Owns the session with Kafka: a member of the group and a transactional producer. Alone knows the client library.

Offsets travel within the transaction, together with the member's generation: the broker refuses them from a member that
has lost its partitions, so that a process which was frozen or cut off cannot write what its successor writes
(KIP-447). The transactional id is therefore new for each session and fences nobody. The generation is the one of the
assignment, never a later one: a member that has been thrown out has none, and the broker would take that for no check.
Facts: librdkafka's INTRODUCTION, chapter on transactions; KafkaError's `retriable`, `txn_requires_abort`, `fatal`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import schemas
from flink_jobs.processor.loop import AbortedError, RefusedError, SessionLostError
from flink_jobs.processor.records import Output, RawRecord
from flink_jobs.processor.settings import ProcessorSettings

_log: Final = structlog.get_logger(__name__)

_POLL_S: Final = 0.1
_GATHER_S: Final = 0.05
_CALL_S: Final = 15.0
_TRIES: Final = 4

_NO_WAITING_MENDS: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's own name for a local error
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


@contextmanager
def kafka_session(settings: ProcessorSettings) -> Iterator["KafkaSession"]:
    """Give a session for the length of a block; leaving it, the member leaves the group.

    Raises:
        SessionLostError: The broker does not answer.
        RefusedError: It refuses this client.
    """
    session = KafkaSession(settings)
    try:
        session.open()
        yield session
    finally:
        session.close()


class KafkaSession:
    """Read as a member of the group and write in transactions.

    Args:
        settings: Broker, group and topics.
    """

    def __init__(self, settings: ProcessorSettings) -> None:
        self._settings = settings
        self._refusal: KafkaError | None = None
        self._taken: list[RawRecord] = []
        self._membership: Any = None
        common: dict[str, Any] = {"logger": _Quiet(), "error_cb": self._note}
        self._consumer = Consumer({**settings.reader(), **common})
        self._producer = Producer({**settings.writer(f"{settings.processor_group}-{uuid4().hex}"), **common})
        self._admin = AdminClient({**settings.connection(), **common})

    def open(self) -> None:
        """Register the producer, and join the group."""
        self._call(lambda: self._producer.init_transactions(_CALL_S))
        self._consumer.subscribe(
            [self._settings.cdc_topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone
        )

    def close(self) -> None:
        """Leave the group; a transaction that is still open is the broker's to end."""
        self._consumer.close()
        self._producer.purge()

    def prepare(self, topics: Sequence[str]) -> None:
        """Create those topics that are missing, with as many partitions as the raw topic has.

        Raises:
            SessionLostError: They cannot be created, or there is no raw topic.
        """
        found = self._call(lambda: self._admin.list_topics(timeout=_CALL_S)).topics
        raw = self._settings.cdc_topic
        if raw not in found or found[raw].error is not None:
            raise SessionLostError(f"the topic {raw} does not exist; start the change-data-capture engine first")
        declared = next(topic for topic in schemas.topics() if topic.name.startswith("filtered-"))
        missing = [name for name in topics if name not in found]
        new = [NewTopic(name, len(found[raw].partitions), config=declared.config) for name in missing]
        for name, made in self._admin.create_topics(new).items() if new else ():
            try:
                made.result(_CALL_S)
            except KafkaException as error:
                # Another instance may be at it as well.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise SessionLostError(f"the topic {name} cannot be created: {error.args[0].str()}") from error
            _log.info("topic_created", topic=name)

    def gather(self) -> Sequence[RawRecord]:
        """Return what is there within a moment, up to a batch. What a rebalance takes away is not in it."""
        self._taken.clear()
        until = time.monotonic() + _GATHER_S
        message = self._consumer.poll(_POLL_S)
        self._producer.poll(0)
        while message is not None:
            self._take(message)
            if len(self._taken) >= self._settings.processor_batch or time.monotonic() > until:
                break
            message = self._consumer.poll(0)
        if self._refusal is not None:
            raise self._refused(self._refusal)
        return tuple(self._taken)

    def commit(self, taken: Sequence[RawRecord], outputs: Sequence[Output]) -> None:
        """Write the outputs, and that these records are done, as one transaction."""
        if self._membership is None:
            raise SessionLostError("the member has lost its place in the group")
        after: dict[int, int] = {}
        for raw in taken:
            after[raw.partition] = raw.offset + 1
        offsets = [TopicPartition(self._settings.cdc_topic, *each) for each in after.items()]
        producer, membership = self._producer, self._membership
        try:
            producer.begin_transaction()
            for output in outputs:
                self._produce(output)
            self._patiently(lambda: producer.send_offsets_to_transaction(offsets, membership, _CALL_S))
            self._patiently(lambda: producer.commit_transaction(_CALL_S))
        except KafkaException as error:
            self._take_back(error.args[0], taken)

    def _produce(self, output: Output) -> None:
        while True:
            try:
                self._producer.produce(output.topic, output.value, output.key, headers=list(output.headers) or None)
            except BufferError:
                self._producer.poll(_POLL_S)
            else:
                return

    def _take_back(self, error: KafkaError, taken: Sequence[RawRecord]) -> None:
        """Abort and read the same records again; where the library does not offer that, the session is over."""
        if error.code() in _NO_WAITING_MENDS:
            raise self._refused(error)
        # A record that the library does not take leaves the transaction as it was.
        unsent = error.code() == KafkaError.MSG_SIZE_TOO_LARGE
        if error.fatal() or not (error.txn_requires_abort() or unsent):
            raise SessionLostError(_words(error))
        first: dict[int, int] = {}
        for raw in taken:
            first.setdefault(raw.partition, raw.offset)
        try:
            self._patiently(lambda: self._producer.abort_transaction(_CALL_S))
            for place in first.items():
                self._consumer.seek(TopicPartition(self._settings.cdc_topic, *place))
        except KafkaException as failed:
            raise SessionLostError(f"{_words(error)}; then {_words(failed.args[0])}") from failed
        raise AbortedError(_words(error))

    def _take(self, message: Message) -> None:
        if error := message.error():
            if error.code() in _NO_WAITING_MENDS:
                raise self._refused(error)
            if error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise SessionLostError(_words(error))
            _log.warning("broker_error", reason=error.str())
            return
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        self._taken.append(RawRecord(partition, offset, message.key(), message.value(), time.monotonic()))

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        membership = consumer.consumer_group_metadata()
        # A member that is thrown out loses its id for good; looked at afterwards, so it was there before.
        self._membership = membership if consumer.memberid() else None
        _log.info("partitions_assigned", partitions=sorted(place.partition for place in places))

    def _gone(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        """Forget what was read and not committed: no transaction is open here, and the next owner reads it again."""
        self._taken.clear()
        self._membership = None
        _log.info("partitions_revoked", partitions=sorted(place.partition for place in places))

    def _call(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if self._refusal is not None or cause.code() in _NO_WAITING_MENDS:
                raise self._refused(self._refusal or cause) from error
            raise SessionLostError(_words(cause)) from error

    def _patiently(self, call: Callable[[], None]) -> None:
        """Make a call again for as long as the library says that this may help."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                call()
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if not left or self._refusal is not None or not cause.retriable() or cause.txn_requires_abort():
                    raise
                _log.info("broker_slow", reason=cause.str(), tries_left=left)
            else:
                return

    def _note(self, error: KafkaError) -> None:
        if error.code() in _NO_WAITING_MENDS:
            self._refusal = error

    def _refused(self, error: KafkaError) -> RefusedError:
        return RefusedError(f"the broker refuses this client: {_words(error)}; check its credentials and rights")


def _words(error: KafkaError) -> str:
    return f"{error.name()}: {error.str()}"


class _Quiet:
    """Take librdkafka's own log lines as events instead of lines on standard error."""

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Pass one line on; `level` is the standard library's."""
        _log.debug("librdkafka", severity=level, line=message % arguments if arguments else message)
