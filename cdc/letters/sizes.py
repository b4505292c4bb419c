"""Owns the arithmetic of record sizes: what a record takes on the wire, and what a topic takes. No I/O.

The broker measures a batch against `max.message.bytes` of the topic, so what counts is a record alone in its batch.
Compressed batches are measured compressed, and nobody knows that size beforehand.
Source of facts: Apache Kafka, "Record Batch" (message format v2); librdkafka, CONFIGURATION.md.
"""

from collections.abc import Mapping
from typing import Final

from cdc.records import Headers, TopicName

ASSUMED: Final = 1_000_000
"""What a topic takes when its broker does not tell: the default of librdkafka, a little below that of the broker."""
_SMALLEST: Final = 1000
_LARGEST: Final = 1_000_000_000
_SLACK: Final = 1024
"""What the client reckons for a record may be more than it takes; the topics' own limits are looked at before."""
_BATCH_HEADER: Final = 61
_RECORD_FIXED: Final = 3
"""Attributes, and the differences in time and offset to the batch, both zero for its only record."""
_MAX_BYTES: Final = ("message.max.bytes",)
_COMPRESSION: Final = ("compression.codec", "compression.type")


def wire_size(key: bytes, value: bytes | None, headers: Headers) -> int:
    """Return the bytes of a batch that holds this record alone, uncompressed."""
    body = _RECORD_FIXED + _sized(key) + _sized(value) + _varint(len(headers))
    for name, content in headers:
        body += _sized(name.encode()) + _sized(content.encode() if isinstance(content, str) else content)
    return _BATCH_HEADER + _varint(body) + body


def limits(told: Mapping[TopicName, int | None], given: Mapping[str, str]) -> dict[TopicName, int]:
    """Return how many bytes a record may take in each topic.

    Args:
        told: What the broker says of each topic, None where it does not tell.
        given: librdkafka settings of the user; `message.max.bytes` there is a limit too, and with compression the only
            one that is known before a record is sent.
    """
    own = next((int(given[name]) for name in _MAX_BYTES if name in given), None)
    if own is not None and any(given.get(name, "none") != "none" for name in _COMPRESSION):
        return dict.fromkeys(told, own)
    found = {topic: ASSUMED if limit is None and own is None else limit for topic, limit in told.items()}
    return {topic: min(each for each in (limit, own) if each is not None) for topic, limit in found.items()}


def producer_sizes(told: Mapping[TopicName, int | None], given: Mapping[str, str]) -> dict[str, int]:
    """Return the producer's settings that keep every batch within the smallest topic, and every record possible.

    One batch of small records beyond the topic's limit would be refused as a whole, though each of them fits.
    """
    known = [ASSUMED if limit is None else limit for limit in told.values()]
    batch = min([*known, int(given.get("batch.size", ASSUMED))])
    largest = max(limits(told, given).values(), default=ASSUMED)
    return {
        "batch.size": max(1, batch),
        "message.max.bytes": min(max(largest + _SLACK, _SMALLEST), _LARGEST),
    }


def _sized(content: bytes | None) -> int:
    # The length of a null is -1, one byte as well.
    return 1 if content is None else len(content) + _varint(len(content))


def _varint(number: int) -> int:
    """Return the bytes of a number of zero or more as a zigzag varint."""
    return max(1, ((number << 1).bit_length() + 6) // 7)
