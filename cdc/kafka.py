"""Owns what producer and reader share about Kafka: the client settings and the meaning of a `KafkaError`.

Every librdkafka setting can be given by the user, except those on which the guarantees stand (`GUARANTEES`).
Source of facts: librdkafka, CONFIGURATION.md and INTRODUCTION.md ("Idempotent Producer").
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from cdc.errors import BrokerError, Kind

_log: Final = structlog.get_logger(__name__)

ClientConfig = dict[str, Any]
Client = Producer | Consumer
Answer = TypeVar("Answer")

_LOG_EVERY_S: Final = 10.0
_METADATA_S: Final = 2.0
_METADATA_TRIES: Final = 5

GUARANTEES: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    # A record that fails for good must stop those behind it: a gap would make the last position of a partition a lie.
    "enable.gapless.guarantee": True,
    # No record gives up on its own while the broker is away; what is in flight is bounded instead.
    "message.timeout.ms": 0,
    # The hash of the Java clients, so that a key stays in its partition whichever engine writes.
    "partitioner": "murmur2_random",
    "delivery.report.only.error": False,
    "allow.auto.create.topics": False,
}
_ALIASES: Final = frozenset({"request.required.acks", "delivery.timeout.ms", "retries", "message.send.max.retries"})
RESERVED: Final = frozenset(GUARANTEES) | _ALIASES | {"transactional.id"}
"""Settings that are not the user's."""

# What a reader may inherit from the producer's settings; the rest would only draw warnings.
_SHARED: Final = ("bootstrap.", "security.", "sasl.", "ssl.", "enable.ssl.", "socket.", "broker.", "client.", "https.")

_KINDS: Final[Mapping[int, Kind]] = {
    KafkaError.MSG_SIZE_TOO_LARGE: Kind.RECORD_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE: Kind.RECORD_TOO_LARGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART: Kind.TOPIC,
    KafkaError._UNKNOWN_TOPIC: Kind.TOPIC,  # noqa: SLF001  # the client library's public name of a local error
    KafkaError._UNKNOWN_PARTITION: Kind.TOPIC,  # noqa: SLF001  # likewise
    KafkaError.TOPIC_EXCEPTION: Kind.TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Kind.TOPIC_RIGHT,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: Kind.TOPIC_RIGHT,
    KafkaError.GROUP_AUTHORIZATION_FAILED: Kind.GROUP_RIGHT,
    KafkaError.SASL_AUTHENTICATION_FAILED: Kind.BROKER_CREDENTIALS,
    KafkaError._AUTHENTICATION: Kind.BROKER_CREDENTIALS,  # noqa: SLF001  # likewise
    KafkaError._SSL: Kind.TLS,  # noqa: SLF001  # likewise
    KafkaError._INVALID_ARG: Kind.SETTINGS,  # noqa: SLF001  # likewise
    KafkaError._TIMED_OUT: Kind.BROKER_UNREACHABLE,  # noqa: SLF001  # likewise
    KafkaError._TRANSPORT: Kind.BROKER_UNREACHABLE,  # noqa: SLF001  # likewise
    KafkaError._ALL_BROKERS_DOWN: Kind.BROKER_UNREACHABLE,  # noqa: SLF001  # likewise
    KafkaError._RESOLVE: Kind.BROKER_UNREACHABLE,  # noqa: SLF001  # likewise
    # The broker that keeps a group: it starts, it moved, or it is not found yet.
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS: Kind.BROKER_UNREACHABLE,
    KafkaError.COORDINATOR_NOT_AVAILABLE: Kind.BROKER_UNREACHABLE,
    KafkaError.NOT_COORDINATOR: Kind.BROKER_UNREACHABLE,
    KafkaError.REQUEST_TIMED_OUT: Kind.BROKER_UNREACHABLE,
    KafkaError._WAIT_COORD: Kind.BROKER_UNREACHABLE,  # noqa: SLF001  # likewise
    KafkaError._FATAL: Kind.PRODUCER_FAILED,  # noqa: SLF001  # likewise
    KafkaError._GAPLESS_GUARANTEE: Kind.PRODUCER_FAILED,  # noqa: SLF001  # likewise
}


def client_config(bootstrap_servers: str, given: Mapping[str, str]) -> ClientConfig:
    """Return the settings of any client: the connection, its log, quick reconnection, then what the user gave."""
    return {
        "bootstrap.servers": bootstrap_servers,
        "client.id": "headwater-cdc",
        # Small requests are the rule at low load; waiting to fill a packet would cost up to 40 ms.
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "logger": _ClientLog(),
        **given,
    }


def shared_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return those of the user's settings that concern any client, not the producer alone."""
    return {name: value for name, value in given.items() if name.startswith(_SHARED)}


def reader_config(bootstrap_servers: str, given: Mapping[str, str]) -> ClientConfig:
    """Return the settings of a reader that joins no group and stores no offset."""
    return {
        **client_config(bootstrap_servers, shared_settings(given)),
        "group.id": "headwater-cdc-positions",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "isolation.level": "read_uncommitted",
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
        "queued.max.messages.kbytes": 4096,
    }


def broker_error(error: KafkaError | KafkaException) -> BrokerError:
    """Return the error of ours for one of the client library."""
    cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    kind = _KINDS.get(cause.code())
    if kind is None:
        # What the client cannot recover from by itself, a new producer may: it re-reads where the topic stands.
        kind = Kind.PRODUCER_FAILED if cause.fatal() or cause.retriable() else Kind.BROKER
    return BrokerError(kind, f"{cause.name()}: {cause.str()}")


class Rejections:
    """Remember why brokers turn a client away; to the client itself every such broker is just one that is not there.

    Give `note` as `error_cb`; it is called from within `poll`.
    """

    def __init__(self) -> None:
        self._refused: BrokerError | None = None

    def note(self, error: KafkaError) -> None:
        """Keep the newest refusal: what is wrong with password or certificate does not pass by waiting."""
        found = broker_error(error)
        if found.kind is Kind.BROKER_CREDENTIALS or (found.kind is Kind.TLS and "certificate" in error.str()):
            self._refused = found

    def cause(self, failure: BrokerError) -> BrokerError:
        """Return the refusal behind a broker that could not be reached, or the failure as it is."""
        unreachable = failure.kind is Kind.BROKER_UNREACHABLE
        return self._refused if unreachable and self._refused is not None else failure


def partitions_of(client: Client, topic: str, rejections: Rejections) -> int:
    """Return the number of partitions of a topic, asking for ten seconds at most; a refusal ends the wait.

    Raises:
        BrokerError: Kafka cannot be reached, or the topic does not exist.
    """
    described = _patiently(client, rejections, lambda: client.list_topics(topic, timeout=_METADATA_S).topics[topic])
    if described.error is not None:
        raise broker_error(described.error)
    return len(described.partitions)


def topic_names(client: AdminClient, rejections: Rejections) -> Collection[str]:
    """Return the topics that there are, asking for ten seconds at most; a refusal ends the wait.

    Raises:
        BrokerError: Kafka cannot be reached.
    """
    return _patiently(client, rejections, lambda: client.list_topics(timeout=_METADATA_S).topics)


def _patiently(client: Client | AdminClient, rejections: Rejections, ask: Callable[[], Answer]) -> Answer:
    tries = 0
    while True:
        try:
            return ask()
        except KafkaException as error:
            tries += 1
            # The reason, if it is a refusal, comes by the callback.
            client.poll(0)
            failure = rejections.cause(broker_error(error))
            if tries == _METADATA_TRIES or failure.kind is not Kind.BROKER_UNREACHABLE:
                raise failure from error


class _ClientLog:
    """Carry librdkafka's own log lines into ours; they come from within `poll`.

    Connection troubles are librdkafka's to retry, for ever: worth a line, not a stop, and not a line a millisecond.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._withheld: Counter[str] = Counter()

    def log(self, level: int, _format: str, facility: str, client: str, text: str) -> None:
        """Take one line; of each facility one in ten seconds is passed on, with the number withheld before it."""
        now = self._clock()
        if facility == "CONFWARN" or now < self._quiet_until.get(facility, now):
            self._withheld[facility] += 1
            return
        self._quiet_until[facility] = now + _LOG_EVERY_S
        withheld = self._withheld.pop(facility, 0)
        _log.log(level, "kafka_client", facility=facility, client=client, detail=text, withheld=withheld)


Delivery = Callable[[KafkaError | None, Message], None]
"""librdkafka's delivery report: an error or None, and the message."""
