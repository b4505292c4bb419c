"""Owns the reading of topics from a place in the past to their present end, record by record. Writes nothing.

Beside `cdc.readback`, which reads their ends only, the one module that knows Kafka's reader.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdc.errors import BrokerError, Kind
from cdc.kafka import broker_error, reader_config
from cdc.records import TopicName

_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as a topic holds it; `stored_ms` is its timestamp, milliseconds since 1970."""

    topic: TopicName
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    stored_ms: int


Take = Callable[[StoredRecord], None]


def read_topics(
    bootstrap_servers: str,
    given: Mapping[str, str],
    topics: Iterable[TopicName],
    take: Take,
    *,
    since_ms: int = 0,
    seconds: float | None = None,
) -> bool:
    """Hand over every record that the topics hold now, each partition in order; topics that do not exist hold none.

    Args:
        bootstrap_servers: Brokers to begin with.
        given: librdkafka settings of the user.
        topics: What to read.
        take: Called with each record.
        since_ms: Leave out what was stored before, where that is above 0.
        seconds: Stop after so long.

    Returns:
        Whether everything was read.

    Raises:
        BrokerError: Kafka cannot be reached, or refuses to be read.
    """
    try:
        consumer = _consumer(bootstrap_servers, given)
        try:
            existing = consumer.list_topics(timeout=_TIMEOUT_S).topics
            places = [
                TopicPartition(topic, number, since_ms)
                for topic in dict.fromkeys(topics)
                if topic in existing
                for number in existing[topic].partitions
            ]
            if since_ms > 0 and places:
                places = consumer.offsets_for_times(places, timeout=_TIMEOUT_S)
            starts, ends = {}, {}
            for place in places:
                low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S, cached=False)
                # A negative offset stands for the end: nothing is that young.
                start = high if place.offset < 0 else max(low, place.offset if since_ms > 0 else low)
                if start < high:
                    starts[place.topic, place.partition], ends[place.topic, place.partition] = start, high
            return _read(consumer, starts, ends, take, seconds)
        finally:
            consumer.close()
    except KafkaException as error:
        raise broker_error(error) from error


def read_range(
    bootstrap_servers: str, given: Mapping[str, str], topic: TopicName, partition: int, offsets: range, take: Take
) -> None:
    """Hand over the records of one partition at these offsets, as far as they are still there.

    Raises:
        BrokerError: Kafka cannot be reached, or refuses to be read.
    """
    place = (topic, partition)
    try:
        consumer = _consumer(bootstrap_servers, given)
        try:
            _read(consumer, {place: offsets.start}, {place: offsets.stop}, take, None)
        finally:
            consumer.close()
    except KafkaException as error:
        raise broker_error(error) from error


def _consumer(bootstrap_servers: str, given: Mapping[str, str]) -> Consumer:
    # What retention deletes while we read was deleted before we read.
    return Consumer({**reader_config(bootstrap_servers, given), "auto.offset.reset": "earliest"})


def _read(
    consumer: Consumer,
    starts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    take: Take,
    seconds: float | None,
) -> bool:
    unfinished = set(starts)
    if not unfinished:
        return True
    consumer.assign([TopicPartition(*place, start) for place, start in starts.items()])
    until = None if seconds is None else time.monotonic() + seconds
    silent_since = time.monotonic()
    while unfinished:
        now = time.monotonic()
        if until is not None and now >= until:
            return False
        message = consumer.poll(_POLL_S)
        if message is None:
            if time.monotonic() - silent_since >= _TIMEOUT_S:
                raise BrokerError(Kind.BROKER_UNREACHABLE, f"no answer while reading {len(unfinished)} partitions")
            continue
        silent_since = now
        place = (str(message.topic()), int(message.partition() or 0))
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # the public name of a local error
                raise broker_error(error)
            unfinished.discard(place)
            continue
        offset = int(message.offset() or 0)
        if offset < ends[place]:
            take(_stored(message, offset))
        if offset >= ends[place] - 1:
            unfinished.discard(place)
    return True


def _stored(message: Message, offset: int) -> StoredRecord:
    headers = {name: content for name, content in dict(message.headers() or ()).items() if isinstance(content, bytes)}
    return StoredRecord(
        TopicName(str(message.topic())),
        int(message.partition() or 0),
        offset,
        message.key(),
        message.value(),
        headers,
        message.timestamp()[1],
    )
