"""Owns what a topic already holds: the last position of each partition, and the question whether a record is there.

Why the last position of a partition is enough: one engine writes the topic, it hands records over in the order of
their positions, and the idempotent producer keeps that order in each partition without gaps. So a partition holds
every record bound for it up to its last one, and none after. A record is skipped exactly when its position is not
beyond the last one *of its own partition*; positions of other partitions say nothing about it.
"""

from collections.abc import Mapping, Sequence
from struct import iter_unpack
from typing import Final

from cdc.lsn import Position
from cdc.records import Record, TopicName

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit hash that Kafka's Java clients and librdkafka's `murmur2_random` apply to a key.

    Source: Apache Kafka, `org.apache.kafka.common.utils.Utils.murmur2`.
    """
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for (word,) in iter_unpack("<I", data[:whole]):
        k = word * _M & _MASK
        k ^= k >> 24
        h = (h * _M & _MASK) ^ (k * _M & _MASK)
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that the producer chooses for a key among this many."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


class Floors:
    """The last own position of every partition, None where there is no own record."""

    def __init__(self, topics: Mapping[TopicName, Sequence[Position | None]]) -> None:
        self._topics = topics
        positions = [position for partitions in topics.values() for position in partitions if position is not None]
        self._highest = max(positions, default=None)

    def passed_by(self, record: Record) -> bool:
        """Say whether the record is beyond every floor, so that neither it nor any later one can be there."""
        return self._highest is None or record.position > self._highest

    def hold(self, record: Record) -> bool:
        """Say whether the record's partition already holds it."""
        partitions = self._topics[record.topic]
        number = record.partition if record.partition is not None else partition_of(record.key, len(partitions))
        floor = partitions[number]
        return floor is not None and record.position <= floor
