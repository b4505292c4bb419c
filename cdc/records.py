"""Owns the Kafka record of the engine and what travels in its headers. Knows neither Kafka's client nor PostgreSQL's.

The headers carry a record's position, its transaction and the source it came from. Their names are a contract: a
later version of the engine finds by them where an earlier one stopped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NewType, TypeAlias

from cdc.lsn import Position
from cdc.shards.names import history_of

TopicName = NewType("TopicName", str)
Headers: TypeAlias = list[tuple[str, str | bytes | None]]

NO_TOPIC: Final = TopicName("")
"""Where a record's topic does not matter."""

POSITION: Final = "cdc.position"
"""`<commit LSN>/<ordinal>`, see `cdc.lsn.Position`."""
SOURCE: Final = "cdc.source"
"""`<system identifier>/<database>`, of a shard with `#<generation>.<index>of<shards>` behind it: positions of different
sources cannot be compared."""
XID: Final = "cdc.xid"
"""The transaction id, 32 bits, decimal; a snapshot row has none."""
COMMITTED: Final = "cdc.commit_us"
"""Commit time in microseconds since the Unix epoch, decimal; a snapshot row has none."""
SNAPSHOT: Final = "cdc.snapshot"
"""A JSON array of schema, table and the texts of the key columns: how far a snapshot came; only on snapshot rows.
Those of an incremental snapshot have the id of its request as a fourth element."""
UNAVAILABLE: Final = "cdc.unavailable"
"""A JSON array of the columns that the server did not send; only where there are any."""
MESSAGE: Final = "cdc.message"
"""The prefix of a logical message; only on the record of one."""
REPLAY: Final = "cdc.replay"
"""On what was sent again: `dead-letter` on a record that comes from there, which has no `cdc.position`, see below; on
a row that was read again the id of the request for it."""
REPLAYED_POSITION: Final = "cdc.replayed_position"
"""The position that a replayed record had. Not `cdc.position`: it stands out of its turn, and by that header a session
finds where its predecessor stopped."""


@dataclass(slots=True)
class Record:
    """One Kafka record: key, value (None is a tombstone) and headers, bound for a topic, at its place in the stream.

    Nobody changes one. It is not frozen, because one is made for every change and that would take twice the time.
    """

    topic: TopicName
    key: bytes
    value: bytes | None
    position: Position
    headers: Headers
    partition: int | None = None
    """Where the record goes; None where its key decides."""

    @property
    def size(self) -> int:
        """The bytes that the record holds in memory while it is in flight, roughly."""
        return len(self.key) + (len(self.value) if self.value is not None else 0)


def is_of(headers: Mapping[str, str | bytes | None], source: bytes, *, any_shard: bool = False) -> bool:
    """Say whether a stored record came from a source, placed or not: the first parts of a letter have no position.

    With `any_shard` the sources of all shards of one history count as one.
    """
    found = headers.get(SOURCE)
    return found == source or (any_shard and isinstance(found, bytes) and history_of(found) == history_of(source))


def read_position(
    headers: Mapping[str, str | bytes | None], source: bytes, *, any_shard: bool = False
) -> Position | None:
    """Return the position in the headers of a stored record; None when it has none, or is not of the source."""
    text = headers.get(POSITION)
    if not isinstance(text, bytes) or not is_of(headers, source, any_shard=any_shard):
        return None
    try:
        return Position.decode(text)
    except ValueError:
        return None
