"""Owns the Kafka producer: the only module that knows it. Sends in the order it is told and hides no failure.

Idempotent, acknowledged by all in-sync replicas, without gaps: librdkafka retries for ever in the same order, and
what fails for good stops everything behind it. One sink belongs to one session of the engine; after any failure it is
abandoned and the next session asks the topics anew what arrived.

There are two producers, of which one is at work: the prompt one sends a record at once, the other lets records gather
for a few milliseconds, while they come in bulk (`cdc.tempo`). One takes over from the other only when Kafka has
acknowledged everything that the other was given, so that the order of each partition is that of the calls.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdc.errors import BrokerError, Kind, RefusedError
from cdc.failpoints import Failpoint, after, at_record
from cdc.kafka import GUARANTEES, Delivery, Rejections, broker_error, client_config, partitions_of
from cdc.ledger import Span
from cdc.letters.refusals import Refusal
from cdc.records import Record, TopicName
from cdc.tempo import Tempo

_log: Final = structlog.get_logger(__name__)

_ABANDON_S: Final = 2.0
_LAST_REPORTS_S: Final = 0.5
_REPORTS_POLL_S: Final = 0.05
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001  # public names
_BY_KEY: Final = -1
"""librdkafka's RD_KAFKA_PARTITION_UA: the partitioner decides."""
_BULK_LINGER_MS: Final = 10.0
_LINGER: Final = frozenset({"linger.ms", "queue.buffering.max.ms"})
_CHANGE_S: Final = 0.05
_CHANGE_POLL_S: Final = 0.005
_QUEUE_RECORDS: Final = 1_000_000
_QUEUE_KBYTES: Final = 1_048_576


class KafkaSink:
    """Deliver records and acknowledge them to their spans."""

    def __init__(
        self,
        bootstrap_servers: str,
        given: Mapping[str, str],
        *,
        linger_ms: float,
        sizes: Mapping[str, int] | None = None,
        careful: bool = False,
    ) -> None:
        """Create the producer; it connects in the background.

        Args:
            bootstrap_servers: Brokers to begin with, `host:port` separated by commas.
            given: librdkafka settings of the user.
            linger_ms: How long a record may wait for company. Under load batches fill by themselves, because at most
                five requests are under way.
            sizes: The producer's settings by what the topics take, see `cdc.letters.sizes.producer_sizes`.
            careful: Put one record into each batch, so that a refusal names it.

        Raises:
            BrokerError: The settings are not librdkafka's.
        """
        self._rejections = Rejections()
        config = {
            "linger.ms": linger_ms,
            # The relay's limits are the real ones; the client's queue only must not be smaller.
            "queue.buffering.max.messages": _QUEUE_RECORDS,
            "queue.buffering.max.kbytes": _QUEUE_KBYTES,
            **client_config(bootstrap_servers, given),
            "error_cb": self._rejections.note,
            **(sizes or {}),
            **({"batch.num.messages": 1} if careful else {}),
            **GUARANTEES,
        }
        # Who sets how long records wait means it, and one alone in its batch has no company.
        lingers = careful or linger_ms >= _BULK_LINGER_MS or not _LINGER.isdisjoint(given)
        try:
            self._prompt = Producer(config)
            self._bulk = None if lingers else Producer({**config, "linger.ms": _BULK_LINGER_MS})
        except KafkaException as error:
            raise BrokerError(Kind.SETTINGS, broker_error(error).args[0]) from error
        self._producer = self._bulk or self._prompt
        self._tempo = Tempo()
        self._count = 0
        self._careful = careful
        self._failure: BrokerError | None = None
        self._only_purged = False
        self._abandoned = False
        self._span: Span | None = None
        self._delivered: Delivery = _ignore
        self._sent = at_record(lambda: self._producer.flush())  # noqa: PLW0108  # whichever is at work then

    def partitions(self, topics: Iterable[TopicName]) -> dict[TopicName, int]:
        """Return the number of partitions of each topic.

        Raises:
            BrokerError: Kafka cannot be reached, or a topic does not exist.
        """
        return {topic: partitions_of(self._producer, topic, self._rejections) for topic in topics}

    def send(self, record: Record, span: Span) -> None:
        """Queue a record; its span is acknowledged, from within `poll`, once every in-sync replica has it.

        Raises:
            BrokerError: The record is refused, or an earlier one was.
        """
        if self._careful:
            self._delivered = self._reporter(span, Refusal(record.topic, record.position, record.key))
        elif span is not self._span:
            self._span, self._delivered = span, self._reporter(span)
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    _BY_KEY if record.partition is None else record.partition,
                    self._delivered,
                    headers=record.headers,
                )
            except BufferError:
                self.poll(0.1)
            except KafkaException as error:
                failure = broker_error(error)
                if failure.kind is Kind.RECORD_TOO_LARGE:
                    # Refused by the client itself, before it joined any batch.
                    refusal = Refusal(record.topic, record.position, record.key)
                    raise RefusedError(str(failure), refusal) from error
                raise self._cause(failure) from error
            else:
                if self._sent is not None:
                    self._sent(record)
                self._count += 1
                return

    def poll(self, timeout: float) -> None:
        """Take delivery reports, waiting up to `timeout` seconds for the first.

        Raises:
            BrokerError: A record failed for good; none behind it was stored.
        """
        self._take(timeout)
        if self._bulk is not None:
            count, self._count = self._count, 0
            wanted = self._bulk if self._tempo.note(count, time.monotonic()) else self._prompt
            if wanted is not self._producer:
                self._change(wanted)

    def _change(self, wanted: Producer) -> None:
        """Let the other producer go on, if what this one has under way is acknowledged soon; if not, try later."""
        until = time.monotonic() + _CHANGE_S
        while len(self._producer) > 0:
            if time.monotonic() >= until:
                return
            self._take(_CHANGE_POLL_S)
        self._producer = wanted

    def _take(self, timeout: float) -> None:
        try:
            self._producer.poll(timeout)
        except KafkaException as error:
            raise self._cause(broker_error(error)) from error
        if self._failure is not None:
            raise self._cause(self._failure)

    def abandon(self) -> None:
        """Send nothing more: drop what waits, see off what is under way for two seconds, and close."""
        self._abandoned = True
        self._producer.purge(in_queue=True, in_flight=False)
        self._take_reports(_ABANDON_S, lambda: len(self._producer) == 0)
        self._producer.purge()
        self._take_reports(_LAST_REPORTS_S, lambda: len(self._producer) == 0)
        # Of the two, the one that is not at work has nothing.
        self._prompt.close()
        if self._bulk is not None:
            self._bulk.close()

    def _reporter(self, span: Span, alone: Refusal | None = None) -> Delivery:
        acknowledge = after(Failpoint.ACKNOWLEDGED, span.acknowledge)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                acknowledge()
            else:
                self._fail(error, alone or Refusal(TopicName(str(message.topic()))))

        return delivered

    def _fail(self, error: KafkaError, refusal: Refusal) -> None:
        if self._abandoned:
            return
        if self._failure is None or self._only_purged:
            failure = broker_error(error)
            if failure.kind is Kind.RECORD_TOO_LARGE:
                failure = RefusedError(str(failure), refusal)
            self._failure, self._only_purged = failure, error.code() in _PURGED

    def _cause(self, failure: BrokerError) -> BrokerError:
        """Return the error of the record that failed by itself, not of those that went down with it.

        A fatal error of the client and the records behind the one at fault may be reported before it.
        """
        self._take_reports(_LAST_REPORTS_S, lambda: self._failure is not None and not self._only_purged)
        cause = self._failure if self._failure is not None and not self._only_purged else failure
        _log.error("records_not_stored", kind=cause.kind.value, detail=str(cause))
        return cause

    def _take_reports(self, seconds: float, enough: Callable[[], bool]) -> None:
        # Not `flush`: it goes on calling back once a fatal error is raised, against the interpreter's rules.
        until = time.monotonic() + seconds
        while not enough() and time.monotonic() < until:
            with suppress(KafkaException):
                self._producer.poll(_REPORTS_POLL_S)


def _ignore(_error: KafkaError | None, _message: Message) -> None:
    """Stand in until the first span comes."""
