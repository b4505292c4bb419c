"""Owns the seam between what a change says and how it becomes bytes: what every format is given, and what it gives.

`cdc.envelope` decides which payloads a change has; a format turns the rows of one relation into keys and values. A
format does no I/O while it encodes, and drops nothing: what it cannot say is an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from cdc.lsn import Lsn
from cdc.pgoutput.messages import Begin, Relation, Row, Value
from cdc.records import TopicName
from cdc.types import Types
from cdc.values import JsonValue

CREATE: Final = "c"
UPDATE: Final = "u"
DELETE: Final = "d"
READ: Final = "r"
TRUNCATE: Final = "t"

Convert: TypeAlias = Callable[[str], JsonValue | bytes]
"""What makes a column's value of its text; raises ValueError for a text that is none of the type."""

Values: TypeAlias = Sequence[Value | JsonValue]
"""A row whose columns went through the format's converters; `UNCHANGED` where the server left one out."""


@dataclass(frozen=True, slots=True)
class SnapshotOrigin:
    """A row that a snapshot read at this point of the log."""

    consistent_point: Lsn


Origin: TypeAlias = Begin | SnapshotOrigin | None
"""Where a change comes from: its transaction, a snapshot, or nowhere that matters."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """What a format is told of a relation, once, before its first row."""

    relation: Relation
    key: tuple[int, ...]
    """The indices of the columns that make the key."""
    types: Types
    topic: TopicName


class Writer(Protocol):
    """The quick way to write rows."""

    def write(self, row: Row, operation: str, now_ms: int) -> tuple[bytes, bytes] | None:
        """Return key and value of a whole row as the stream sent it; None for one that goes the other way."""


class TableFormat(Protocol):
    """The keys and values of one relation, as it is now."""

    writer: Writer | None
    """The quick way, where there is one for this format."""

    @property
    def converters(self) -> Sequence[tuple[int, Convert]]:
        """For each column whose text is not its value: its index, and what makes the value."""

    def key(self, values: Values) -> bytes:
        """Encode the key of a row; its key columns are there."""

    def value(self, operation: str, after: Values | None, before: Values | None, now_ms: int, origin: Origin) -> bytes:
        """Encode a value: `after` is missing on `d`, `before` where there is no old row, both on `t`."""

    def truncation_key(self) -> bytes:
        """Encode the key under which the table's truncations stand: none that a row can have."""

    def moved_from(self, old_key: bytes) -> tuple[tuple[str, bytes], ...]:
        """Return the headers of a row's creation under a new key."""

    def moved_to(self, new_key: bytes) -> tuple[tuple[str, bytes], ...]:
        """Return the headers of a row's deletion under its old key, and of its tombstone."""


class Format(Protocol):
    """A way to write records."""

    def table(self, shape: TableShape) -> TableFormat:
        """Prepare for the rows of one relation. Raises CdcError where its records cannot be written."""
