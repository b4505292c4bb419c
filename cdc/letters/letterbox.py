"""Owns what lies in dead-letter topics: letters put together from their parts, and which of them were replayed.

Reads only. Others write there too (the Flink job its own letters): what is not of the engine is counted, no more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import orjson

from cdc.errors import BrokerError, Kind
from cdc.letters.deadletters import ERROR, KEY, PART, PLACE, PREFIX, REASON, REPLAYED, TABLE, TOMBSTONE, TOPIC
from cdc.letters.scan import StoredRecord, read_range, read_topics
from cdc.lsn import Position
from cdc.records import POSITION, SOURCE, Headers, TopicName
from cdc.settings import Settings

LOOK_S: Final = 10.0
"""How long a look from outside may take; of topics larger than that it tells what it has seen."""
_OURS: Final = frozenset({ERROR, PART, PLACE, POSITION, PREFIX, REASON, TABLE, TOMBSTONE, TOPIC})

Name = tuple[TopicName, bytes, Position, TopicName]
"""What tells a letter from others: dead-letter topic, source, position, destination."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A whole dead letter, without its content: that is read when it is wanted."""

    reason: str
    error: str
    topic: TopicName
    """Where the record was bound for."""
    table: str
    position: Position
    source: bytes
    key: bytes
    """As the letter bears it; the record's own if that is no longer than a key may be."""
    letterbox: TopicName
    partition: int
    offsets: tuple[int, ...]
    headers: Mapping[str, bytes]
    stored_ms: int
    replayed: bool = False

    @property
    def parts(self) -> int:
        """The number of its parts."""
        return len(self.offsets)


@dataclass(frozen=True, slots=True)
class Content:
    """What a letter holds, byte-exact: of a refused record key and value, else the message of a change."""

    key: bytes
    value: bytes | None
    headers: Headers
    """Those that the record had, without its position; and the relation of a change."""


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of some topics, in the order of their positions."""

    letters: tuple[Letter, ...]
    others: int
    """Records that are no letters of an engine."""
    complete: bool
    """Whether the topics were read to their ends."""

    @property
    def waiting(self) -> tuple[Letter, ...]:
        """Those that were not replayed."""
        return tuple(letter for letter in self.letters if not letter.replayed)


@dataclass(slots=True)
class Assembly:
    """Put letters together, record by record as their partitions hold them."""

    others: int = 0
    _begun: dict[Name, list[int]] = field(default_factory=dict)
    _whole: dict[Name, Letter] = field(default_factory=dict)
    _replayed: set[Name] = field(default_factory=set)

    def take(self, record: StoredRecord) -> None:
        """Take the next record of a partition."""
        try:
            self._take(record)
        except (KeyError, ValueError):
            self.others += 1

    def letters(self) -> tuple[Letter, ...]:
        """Return the whole letters so far, in the order of their positions."""
        found = [replace(letter, replayed=name in self._replayed) for name, letter in self._whole.items()]
        return tuple(sorted(found, key=lambda letter: (letter.source, letter.position, letter.topic)))

    def _take(self, record: StoredRecord) -> None:
        headers = record.headers
        replayed = headers.get(REPLAYED)
        position = Position.decode(headers[PLACE] if replayed is None else replayed)
        topic = TopicName(headers[TOPIC].decode())
        name = (record.topic, headers[SOURCE], position, topic)
        if replayed is not None:
            # The number of partitions may have changed in between, and the marker may be read before its letter.
            self._replayed.add(name)
            return
        number, count = map(int, headers[PART].split(b"/"))
        # A letter that was cut off begins again with its first part.
        offsets = [] if number == 1 else self._begun.get(name, [])
        if len(offsets) != number - 1:
            return
        self._begun[name] = [*offsets, record.offset]
        if number < count:
            return
        self._whole[name] = Letter(
            reason=headers[REASON].decode(),
            error=headers[ERROR].decode(),
            topic=topic,
            table=headers[TABLE].decode(),
            position=position,
            source=headers[SOURCE],
            key=record.key or b"",
            letterbox=record.topic,
            partition=record.partition,
            offsets=tuple(self._begun.pop(name)),
            headers=headers,
            stored_ms=record.stored_ms,
        )


def scan(
    bootstrap_servers: str, given: Mapping[str, str], topics: Iterable[TopicName], *, seconds: float | None = None
) -> Letters:
    """Return the letters that dead-letter topics hold now; stop after so many `seconds`.

    Raises:
        BrokerError: Kafka cannot be reached, or refuses to be read.
    """
    assembly = Assembly()
    complete = read_topics(bootstrap_servers, given, topics, assembly.take, seconds=seconds)
    return Letters(assembly.letters(), assembly.others, complete)


def letters_of(settings: Settings, *, seconds: float | None = None) -> Letters:
    """Return the letters in every dead-letter topic of these settings.

    Raises:
        BrokerError: Kafka cannot be reached.
    """
    topics = settings.dead_letter_topics.values()
    return scan(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, topics, seconds=seconds)


def load(bootstrap_servers: str, given: Mapping[str, str], letter: Letter) -> Content:
    """Return the content of a letter.

    Raises:
        BrokerError: Kafka cannot be reached; or retention has deleted the letter meanwhile.
    """
    parts: dict[int, bytes] = {}

    def take(record: StoredRecord) -> None:
        if record.offset in letter.offsets:
            parts[record.offset] = record.value or b""

    offsets = range(letter.offsets[0], letter.offsets[-1] + 1)
    read_range(bootstrap_servers, given, letter.letterbox, letter.partition, offsets, take)
    if len(parts) < letter.parts:
        raise BrokerError(Kind.BROKER, f"the dead letter {letter.position.encode().decode()} is no longer whole")
    return unfold(letter, b"".join(parts[offset] for offset in letter.offsets))


def unfold(letter: Letter, whole: bytes) -> Content:
    """Return the content of a letter, given its parts in one piece."""
    headers: Headers = [(name, content) for name, content in letter.headers.items() if name not in _OURS]
    key, at = letter.key, 0
    for name, length in orjson.loads(letter.headers.get(PREFIX, b"[]")):
        piece = whole[at : at + length]
        at += length
        if name == KEY:
            key = piece
        else:
            headers.append((name, piece))
    return Content(key, None if TOMBSTONE in letter.headers else whole[at:], headers)
