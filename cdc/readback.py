"""Owns the reading of what a topic already holds, at its end: positions, and how far a snapshot came. Writes nothing.

It must be asked only by the engine that holds the slot, before it produces: whoever held the slot before is then gone,
and what it still had under way is appended while we look, so the ends of the partitions are looked at until nothing of
ours is added to them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc.errors import BrokerError, Kind
from cdc.kafka import Rejections, broker_error, partitions_of, reader_config
from cdc.lsn import Position
from cdc.records import SNAPSHOT, SOURCE, TopicName, is_of, read_position
from cdc.shards.names import older_generation
from cdc.tables import TableName

_TIMEOUT_S: Final = 10.0
_FIRST_WINDOW: Final = 8
_WIDER: Final = 8
_LARGEST_WINDOW: Final = 4096
_POLL_S: Final = 0.2

KeyTexts = tuple[str, ...]
Place = tuple[str, int]
"""A topic and one of its partitions."""
Range = tuple[int, int]
"""From an offset up to, and without, another."""
MessageHeaders = dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]] | None


class Stored(Protocol):
    """A record as a reader hands it over, or the news that a partition has no more."""

    def topic(self) -> str | None:
        """Return its topic."""

    def partition(self) -> int | None:
        """Return its partition."""

    def offset(self) -> int | None:
        """Return its offset, or that of the end."""

    def error(self) -> KafkaError | None:
        """Return what is wrong, None for a record."""

    def headers(self) -> MessageHeaders:
        """Return its headers."""


class Reader(Protocol):
    """What is needed of Kafka's consumer; a simulation gives its own."""

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """Return the first offset of a partition, and the one behind its last record."""

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Begin to read these partitions at these offsets."""

    def poll(self, timeout: float = -1) -> Stored | None:
        """Return what comes next, None if nothing does within `timeout` seconds."""


@dataclass(slots=True)
class Tail:
    """The end of one partition: its last own position, and for each table the last key that a snapshot delivered."""

    position: Position | None = None
    covered: dict[TableName, KeyTexts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for: the last own record; with `snapshot_from` also the last snapshot row of each of `tables`.

    `snapshot_from` is the position of the snapshot's first row: nothing before it belongs to that snapshot. `request`
    names the incremental snapshot whose rows are meant; None means the initial one's. With `any_shard` a record of
    whichever shard of the source's history is an own one: good to know how far the topics go, not to resume from.
    """

    source: bytes
    tables: frozenset[TableName] = frozenset()
    snapshot_from: Position | None = None
    request: str | None = None
    any_shard: bool = False

    def note(self, tail: Tail, headers: MessageHeaders) -> bool:
        """Take one record, later ones first, into the tail; return whether older records still matter."""
        found = dict(headers or ())
        position = read_position(found, self.source, any_shard=self.any_shard)
        if position is None:
            return not self._before_us(found)
        if tail.position is None:
            tail.position = position
        if self.snapshot_from is None or position < self.snapshot_from:
            return False
        text = found.get(SNAPSHOT)
        if isinstance(text, bytes):
            schema, name, key, *request = orjson.loads(text)
            if request == ([] if self.request is None else [self.request]):
                tail.covered.setdefault(TableName(schema, name), tuple(key))
        return not self.tables <= tail.covered.keys()

    def is_own(self, headers: MessageHeaders) -> bool:
        """Say whether a record is one of ours, also one that tells no position, as the first parts of a letter."""
        return is_of(dict(headers or ()), self.source, any_shard=self.any_shard)

    def _before_us(self, headers: Mapping[str, str | bytes | None]) -> bool:
        """Say whether a record is of another generation of shards: all of that lies before everything of this one.

        What was sent again from dead letters has such a source too and stands anywhere; it has no position.
        """
        source = headers.get(SOURCE)
        if not isinstance(source, bytes) or not older_generation(source, self.source):
            return False
        return read_position(headers, source) is not None


def read_tails(
    bootstrap_servers: str,
    given: Mapping[str, str],
    partitions: Mapping[TopicName, int],
    search: Search,
    waiting: Callable[[], None],
    *,
    settled: bool = True,
) -> dict[TopicName, list[Tail]]:
    """Return the tail of every partition.

    Args:
        bootstrap_servers: Brokers to begin with.
        given: librdkafka settings of the user.
        partitions: The topics and how many partitions each has.
        search: What to look for.
        waiting: Called between reads; keeps the replication connection alive, or raises to give up.
        settled: Look again until nothing of ours is added. Without the slot, while somebody may write, False
            gives the ends as they were at one time: good to show, not to resume from.

    Raises:
        BrokerError: Kafka cannot be reached, or refuses to be read.
    """
    try:
        consumer = Consumer(reader_config(bootstrap_servers, given))
        try:
            return tails_at_rest(consumer, partitions, search, waiting, settled=settled)
        finally:
            consumer.close()
    except KafkaException as error:
        raise broker_error(error) from error


def tails_at_rest(
    reader: Reader,
    partitions: Mapping[TopicName, int],
    search: Search,
    waiting: Callable[[], None],
    *,
    settled: bool = True,
) -> dict[TopicName, list[Tail]]:
    """Return the tail of every partition, read again until no own record was added while it was read.

    Others may write all the time: the siblings of a shard, engines of other databases. A part of a letter is an own
    record, although it moves no tail: behind it the letter's last part may be on its way.

    Without `settled`, one reading is enough: see `read_tails`.

    Raises:
        BrokerError: Kafka does not answer.
        KafkaException: Likewise.
    """
    wanted = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
    ends = _ends(reader, wanted)
    tails = _read_back(reader, ends, search, waiting)
    while settled and (again := _ends(reader, wanted)) != ends:
        added = {place: (max(low, ends[place][1]), high) for place, (low, high) in again.items()}
        windows = {place: (start, end) for place, (start, end) in added.items() if end > start}
        if not any(search.is_own(headers) for _, headers in _read(reader, windows, waiting)):
            break
        ends = again
        tails = _read_back(reader, ends, search, waiting)
    return {topic: [tails[topic, number] for number in range(count)] for topic, count in partitions.items()}


def count_partitions(
    bootstrap_servers: str, given: Mapping[str, str], topics: Sequence[TopicName]
) -> dict[TopicName, int]:
    """Return the number of partitions of each topic; create none.

    Raises:
        BrokerError: Kafka cannot be reached, or a topic does not exist.
    """
    rejections = Rejections()
    try:
        consumer = Consumer({**reader_config(bootstrap_servers, given), "error_cb": rejections.note})
    except KafkaException as error:
        raise broker_error(error) from error
    try:
        return {topic: partitions_of(consumer, topic, rejections) for topic in topics}
    finally:
        consumer.close()


def _ends(reader: Reader, wanted: Sequence[TopicPartition]) -> dict[Place, Range]:
    ends = {}
    for each in wanted:
        low, high = reader.get_watermark_offsets(each, timeout=_TIMEOUT_S, cached=False)
        ends[each.topic, each.partition] = (low, high)
    return ends


def _read_back(
    reader: Reader, ends: Mapping[Place, Range], search: Search, waiting: Callable[[], None]
) -> dict[Place, Tail]:
    """Walk back from the ends in windows that grow, until the search has what it wants in every partition."""
    tails = {place: Tail() for place in ends}
    left = {place: high for place, (low, high) in ends.items() if high > low}
    window = _FIRST_WINDOW
    while left:
        windows = {place: (max(ends[place][0], end - window), end) for place, end in left.items()}
        left = {}
        found: dict[Place, list[MessageHeaders]] = {place: [] for place in windows}
        for place, headers in _read(reader, windows, waiting):
            found[place].append(headers)
        for place, (start, _) in windows.items():
            if all(search.note(tails[place], headers) for headers in reversed(found[place])) and start > ends[place][0]:
                left[place] = start
        window = min(window * _WIDER, _LARGEST_WINDOW)
    return tails


def _read(
    reader: Reader, windows: Mapping[Place, Range], waiting: Callable[[], None]
) -> Iterator[tuple[Place, MessageHeaders]]:
    """Give the headers of the records in each partition's window, in order; there may be fewer than offsets, or none.

    Only the headers: a window of large values would not fit into the memory the engine promises.
    """
    unfinished = set(windows)
    reader.assign([TopicPartition(*place, start) for place, (start, _) in windows.items()])
    silent = 0.0
    while unfinished:
        message = reader.poll(_POLL_S)
        if message is None:
            silent += _POLL_S
            if silent >= _TIMEOUT_S:
                raise BrokerError(Kind.BROKER_UNREACHABLE, f"no answer while reading {len(unfinished)} partitions")
            waiting()
            continue
        silent = 0.0
        place = (str(message.topic()), int(message.partition() or 0))
        offset, end = int(message.offset() or 0), windows[place][1]
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # the public name of a local error
                raise broker_error(error)
            # Compaction or a transaction's marker may leave no record before the end.
            unfinished.discard(place)
        else:
            if offset < end:
                yield place, message.headers()
            if offset >= end - 1:
                unfinished.discard(place)
