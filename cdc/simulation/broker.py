"""Owns the simulated broker: what each partition stores, and what it takes from an idempotent producer.

Source of facts: Apache Kafka, KIP-98 ("Idempotent Producer Guarantees"). A batch carries its producer's id and, for
its partition, a sequence number: the next one is appended, an earlier one is acknowledged without being appended
again, a later one is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from confluent_kafka import KafkaError, TopicPartition

from cdc.errors import BrokerError, Kind
from cdc.letters.deadletters import PART
from cdc.lsn import Lsn, Position
from cdc.positions import partition_of
from cdc.readback import MessageHeaders, Place
from cdc.records import Record, TopicName
from cdc.simulation.due import AUDIT, DEAD, OUTBOX, RAW, Due
from cdc.simulation.fate import Fate
from cdc.simulation.ingredients import Ingredients
from cdc.simulation.letters import Letterbox

_OUTAGES_S: Final = (0.5, 4.0, 30.0)
_OUTAGE_ONE_IN: Final = 48
_FOREIGN: Final = (1, 10, 10, 10, 100)
_SHOWN: Final = 120

Entry = tuple[bytes, bytes | None]
"""Key and value of a record, None for a tombstone; or of a whole dead letter, see `Letterbox`."""

_partition_of: Final = cache(partition_of)
"""The few keys there are come in every schedule."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one request for one partition."""

    producer: int
    place: Place
    sequence: int
    records: Sequence[Record]


class Broker:
    """What outlives every producer: the partitions, and requests of dead producers that are still on their way."""

    def __init__(self, fate: Fate, ingredients: Ingredients) -> None:
        """Create the topics, the first with one to three partitions."""
        self.fate = fate
        self.partitions: dict[TopicName, int] = {RAW: 1 + fate.below(3), AUDIT: 1}
        if ingredients.messages:
            self.partitions[OUTBOX] = 1 + fate.below(2)
        if ingredients.letters:
            self.partitions[DEAD] = 1 + fate.below(2)
        self.stored: dict[Place, list[Record]] = {
            (topic, number): [] for topic, count in self.partitions.items() for number in range(count)
        }
        self.delivered: dict[Place, list[Entry]] = {}
        """What each partition holds, in the order of its appending."""
        self._letterbox = Letterbox()
        self._sequences: dict[tuple[int, Place], int] = {}
        self._places: dict[tuple[TopicName, bytes], Place] = {}
        self._producers = 0
        self._late: list[Batch] = []
        self._down_until = 0.0

    def new_producer(self) -> int:
        """Return the id of a new producer."""
        self._producers += 1
        if self.fate.rarely(6):
            self._take_foreign_records()
        return self._producers

    def _take_foreign_records(self) -> None:
        """Append records that somebody else wrote, without our headers: positions are looked for behind them."""
        places = list(self.stored)
        place = places[self.fate.below(len(places))]
        foreign = Record(TopicName(place[0]), b"foreign", b"", Position(Lsn(0), 0), [])
        self.stored[place] += [foreign] * _FOREIGN[self.fate.below(len(_FOREIGN))]
        self.fate.note(f"somebody else writes to {place[0]}-{place[1]}")

    def place_of(self, record: Record) -> Place:
        """Return the partition that the client chooses for a record."""
        if record.partition is not None:
            return (record.topic, record.partition)
        return self._place_of_key(record.topic, record.key)

    def entries(self, due: Sequence[Due]) -> list[tuple[Place, Entry]]:
        """Return what is due in which partition, in order."""
        found: list[tuple[Place, Entry]] = []
        for topic, key, value, everywhere in due:
            if everywhere:
                found += [((topic, number), (key, value)) for number in range(self.partitions[topic])]
            else:
                found.append((self._place_of_key(topic, key), (key, value)))
        return found

    def _place_of_key(self, topic: TopicName, key: bytes) -> Place:
        place = self._places.get((topic, key))
        if place is None:
            place = self._places[topic, key] = (topic, _partition_of(key, self.partitions[topic]))
        return place

    def away(self) -> bool:
        """Say whether the broker cannot be reached now."""
        fate = self.fate
        if fate.calm:
            return False
        if fate.now >= self._down_until and fate.rarely(_OUTAGE_ONE_IN):
            self._down_until = fate.now + _OUTAGES_S[fate.below(len(_OUTAGES_S))]
            fate.note(f"the broker is away until {self._down_until:.2f}s")
        return fate.now < self._down_until

    def append(self, batch: Batch) -> bool:
        """Take a batch; return whether it is acknowledged, False when earlier ones are missing."""
        stream = (batch.producer, batch.place)
        expected = self._sequences.get(stream, 0)
        if batch.sequence > expected:
            return False
        if batch.sequence == expected:
            self._sequences[stream] = expected + 1
            self.stored[batch.place] += batch.records
            held = self.delivered.setdefault(batch.place, [])
            for record in batch.records:
                value = record.value
                if record.topic != DEAD or (value := self._letterbox.take(batch.place, record)) is not None:
                    held.append((record.key, value))
                if self.fate.trace is not None:
                    self.fate.note(f"stored in {batch.place[0]}-{batch.place[1]}: {describe(record)}")
        return True

    def leave_behind(self, batches: Sequence[Batch]) -> None:
        """Keep what a producer had under way when it died; it may still arrive, in its order."""
        self._late += batches

    def let_late_ones_arrive(self) -> None:
        """Append some of what dead producers left under way, for each partition in order."""
        if self._late and self.fate.below(2):
            count = 1 + self.fate.below(len(self._late))
            self.fate.note("requests of a dead engine arrive late")
            for batch in self._late[:count]:
                self.append(batch)
            del self._late[:count]

    def fence(self) -> None:
        """Drop what is still under way: the successor has seen the ends at rest, and only now produces.

        That nothing arrives later is the assumption of `cdc.readback`, and a limit named in docs/cdc.md.
        """
        self._late.clear()


class Message:
    """A stored record as a consumer gives it."""

    __slots__ = ("_offset", "_place", "_record")

    def __init__(self, place: Place, offset: int, record: Record) -> None:
        self._place, self._offset, self._record = place, offset, record

    def topic(self) -> str:
        """Return its topic."""
        return self._place[0]

    def partition(self) -> int:
        """Return its partition."""
        return self._place[1]

    def offset(self) -> int:
        """Return its offset."""
        return self._offset

    def error(self) -> KafkaError | None:
        """Return None: it is a record."""
        return None

    def headers(self) -> MessageHeaders:
        """Return its headers."""
        return self._record.headers


class Reader:
    """A consumer of the simulated broker, for `cdc.readback`."""

    def __init__(self, broker: Broker) -> None:
        """Connect."""
        self._broker = broker
        self._ahead: list[Message] = []

    def get_watermark_offsets(
        self,
        partition: TopicPartition,
        timeout: float = -1,
        cached: bool = False,  # noqa: ARG002  # the client library's signature
    ) -> tuple[int, int]:
        """Return the offsets of a partition.

        Raises:
            BrokerError: The broker is away for longer than `timeout` seconds.
        """
        fate = self._broker.fate
        fate.step(unreachable)
        if self._broker.away():
            fate.now += timeout
            if self._broker.away():
                raise unreachable()
        if partition.topic == RAW and partition.partition == 0:
            # A look at the ends is taken as one moment; what arrives in the middle of the last one is beyond what the
            # engine can see, as what arrives after it: see `fence`.
            self._broker.let_late_ones_arrive()
        return 0, len(self._broker.stored[partition.topic, partition.partition])

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read from these offsets."""
        self._ahead = []
        for each in partitions:
            place = (each.topic, each.partition)
            records = self._broker.stored[place]
            self._ahead += [Message(place, offset, records[offset]) for offset in range(each.offset, len(records))]
        self._ahead.reverse()

    def poll(self, timeout: float = -1) -> Message | None:
        """Return the next record, None when none came in time."""
        fate = self._broker.fate
        if not self._ahead or self._broker.away():
            fate.step(unreachable)
            fate.now += timeout
            return None
        self._broker.let_late_ones_arrive()
        return self._ahead.pop()


def unreachable() -> BrokerError:
    """Return the error of a broker that does not answer."""
    return BrokerError(Kind.BROKER_UNREACHABLE, "the simulated broker does not answer")


def describe(record: Record) -> str:
    """Return a record for the trace."""
    value = "tombstone" if record.value is None else record.value.decode(errors="replace")
    if len(value) > _SHOWN:
        value = f"{value[:_SHOWN]}… ({len(value)})"
    part = "".join(f" part {content!r}" for name, content in record.headers if name == PART)
    return f"{record.position.encode().decode()} {record.key.decode()}{part} {value}"
