"""Owns the form of a dead letter: what becomes of a change that no record can hold, or that its topic does not take.

No I/O. A letter is bound for the dead-letter topic of its record's topic and keeps the record's place in the stream, so
that the restart which finds where the topics end finds its end as well. What is in it is exact, byte for byte:
- `unencodable`: the change as pgoutput sent it, with its relation, so that a better version can decode it later;
- `too_large`: key and value of the record that the topic refused.
The dead-letter topic may be as narrow as the other one: a letter is cut into parts that it is certain to take. Only
the last part carries the position; a letter cut off in the middle is sent again from its first part.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from enum import Enum, unique
from hashlib import sha256
from typing import Final

import orjson
import structlog

from cdc.errors import CdcError, Kind
from cdc.letters.sizes import ASSUMED, wire_size
from cdc.lsn import Position
from cdc.pgoutput.messages import Column, Relation, ReplicaIdentity
from cdc.records import POSITION, Headers, Record, TopicName

_log: Final = structlog.get_logger(__name__)

REASON: Final = "dlq-reason"
ERROR: Final = "dlq-error"
"""One sentence without data; on unencodable changes."""
TOPIC: Final = "dlq-topic"
"""Where the record was bound for."""
TABLE: Final = "dlq-table"
PLACE: Final = "dlq-position"
"""The position, on every part: with the source the name of the letter."""
PART: Final = "dlq-part"
"""`i/n`, from 1."""
RELATION: Final = "dlq-relation"
"""The relation as JSON, on unencodable changes."""
PREFIX: Final = "dlq-prefix"
"""JSON: names and lengths of what precedes the value, because it is too large for a key or a header."""
TOMBSTONE: Final = "dlq-tombstone"
"""There when the record has no value, which is not an empty one."""
REPLAYED: Final = "dlq-replayed"
"""On a marker: the position of a letter that was replayed."""
KEY: Final = "key"
"""What a key that is too large for one is called in `dlq-prefix`."""

_SMALLEST_PART: Final = 256
_VARINTS: Final = 16
_LONGEST_ERROR: Final = 300

Refused = AbstractSet[tuple[TopicName, Position | bytes]]
"""Records that the broker refused in earlier sessions: topic and position; and topic and key, for snapshot rows."""


@unique
class Reason(Enum):
    """Why a change became a dead letter."""

    UNENCODABLE = "unencodable"
    TOO_LARGE = "too_large"


@dataclass(slots=True, kw_only=True)
class DeadLetter(Record):
    """One part of a letter, as a record; `last` says that the letter is complete with it."""

    reason: Reason
    table: str
    error: str
    destination: TopicName
    last: bool


@dataclass(frozen=True, slots=True)
class Letters:
    """Make letters for the topics that have a dead-letter topic; a change bound for another one stops the engine."""

    destinations: Mapping[TopicName, TopicName] = field(default_factory=dict)
    limits: Mapping[TopicName, int] = field(default_factory=dict)
    """How many bytes a record may take, for these topics and their dead-letter topics."""
    refused: Refused = frozenset()

    @property
    def certain(self) -> int:
        """Up to how many bytes of key and value a record need not be looked at, whatever its topic and headers."""
        if self.refused or not self.destinations:
            return -1 if self.refused else 2**63
        return min(self.limits.get(topic, ASSUMED) for topic in self.destinations) // 2

    def admit(self, record: Record, table: str, *, by_key: bool = False) -> Sequence[Record]:
        """Return the record if its topic takes it, or else the parts of its letter.

        Args:
            record: The record, whole.
            table: The table it came from.
            by_key: Look a refused record up by its key: the positions of a snapshot are new with every attempt.

        Raises:
            CdcError: The dead-letter topic takes less than a few hundred bytes.
        """
        destination = self.destinations.get(record.topic)
        if destination is None:
            return (record,)
        refused = (record.topic, record.key if by_key else record.position) in self.refused
        size, limit = wire_size(record.key, record.value, record.headers), self.limits.get(record.topic, ASSUMED)
        if size <= limit and not refused:
            return (record,)
        error = f"a record of {size} bytes; the topic takes {limit}" if size > limit else f"{size} bytes were refused"
        headers: Headers = [header for header in record.headers if header[0] != POSITION]
        if record.value is None:
            headers.append((TOMBSTONE, b"1"))
        letter = _Letter(record, destination, Reason.TOO_LARGE, table, error, headers)
        return self._cut(letter)

    def unencodable(
        self, cause: CdcError, change: Record, relation: Relation, primary_key: Iterable[str]
    ) -> Sequence[Record]:
        """Return the parts of the letter of a change that no record can hold.

        Args:
            cause: What the encoder said; raised again when the topic has no dead-letter topic.
            change: Topic, key, position and headers of the record that cannot be; its value is the change's message.
            relation: The relation as described before the change.
            primary_key: As the catalogue had it.

        Raises:
            CdcError: There is no dead-letter topic, or it takes less than a few hundred bytes.
        """
        destination = self.destinations.get(change.topic)
        if destination is None:
            raise cause
        headers = [header for header in change.headers if header[0] != POSITION]
        headers.append((RELATION, describe_relation(relation, primary_key)))
        table = f"{relation.schema}.{relation.name}"
        return self._cut(_Letter(change, destination, Reason.UNENCODABLE, table, str(cause), headers))

    def _cut(self, letter: "_Letter") -> list[Record]:
        record = letter.record
        limit = min(self.limits.get(letter.destination, ASSUMED), ASSUMED)
        key, headers, prefix = record.key, letter.headers, list[tuple[str, bytes]]()
        if len(key) > limit // 8:
            prefix.append((KEY, key))
            key = sha256(key).hexdigest().encode()
        for name, content in [header for header in headers if len(header[1] or b"") > limit // 8]:
            assert isinstance(content, bytes)
            prefix.append((name, content))
        spilt = {name for name, _ in prefix}
        common: Headers = [
            (REASON, letter.reason.value.encode()),
            (ERROR, letter.error[:_LONGEST_ERROR].encode()),
            (TOPIC, record.topic.encode()),
            (TABLE, letter.table.encode()),
            (PLACE, record.position.encode()),
            *(header for header in headers if header[0] not in spilt),
        ]
        if prefix:
            common.append((PREFIX, orjson.dumps([(name, len(content)) for name, content in prefix])))
        content = b"".join((*(each for _, each in prefix), record.value or b""))
        longest = [*common, (POSITION, record.position.encode()), (PART, b"%d/%d" % (len(content), len(content)))]
        room = limit - wire_size(key, b"", longest) - _VARINTS
        if room < _SMALLEST_PART:
            message = f"the dead-letter topic {letter.destination} takes {limit} bytes, too few for any letter"
            raise CdcError(Kind.RECORD_TOO_LARGE, message)
        pieces = [content[start : start + room] for start in range(0, len(content), room)] or [b""]
        parts: list[Record] = []
        for number, piece in enumerate(pieces, 1):
            last = number == len(pieces)
            own: Headers = [*common, (PART, b"%d/%d" % (number, len(pieces)))]
            if last:
                own.insert(0, (POSITION, record.position.encode()))
            parts.append(
                DeadLetter(
                    letter.destination,
                    key,
                    piece,
                    record.position,
                    own,
                    reason=letter.reason,
                    table=letter.table,
                    error=letter.error,
                    destination=record.topic,
                    last=last,
                )
            )
        return parts


@dataclass(frozen=True, slots=True)
class _Letter:
    record: Record
    destination: TopicName
    reason: Reason
    table: str
    error: str
    headers: Headers


def announce(record: Record, count: Callable[[str], None]) -> None:
    """Say so when a record that is handed over completes a dead letter; without data, and count it by its reason."""
    if isinstance(record, DeadLetter) and record.last:
        _log.warning(
            "dead_letter",
            reason=record.reason.value,
            table=record.table,
            topic=record.destination,
            dead_letter_topic=record.topic,
            position=record.position.encode().decode(),
            detail=record.error,
            remedy="headwater cdc replay --dead-letters",
        )
        count(record.reason.value)


def describe_relation(relation: Relation, primary_key: Iterable[str]) -> bytes:
    """Return a relation and its table's primary key as JSON."""
    document = asdict(relation) | {"replica_identity": relation.replica_identity.value}
    return orjson.dumps(document | {"primary_key": list(primary_key)})


def read_relation(document: bytes) -> tuple[Relation, tuple[str, ...]]:
    """Return the relation and the primary key of `describe_relation`.

    Raises:
        ValueError: It is no such document.
    """
    try:
        found = orjson.loads(document)
        columns = tuple(Column(**column) for column in found["columns"])
        identity = ReplicaIdentity(found["replica_identity"])
        relation = Relation(found["oid"], found["schema"], found["name"], identity, columns)
        return relation, tuple(found["primary_key"])
    except (KeyError, TypeError) as error:
        raise ValueError("not a relation") from error
