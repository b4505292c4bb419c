"""Owns what a change says: which payloads it has, in which order, under which keys. Bytes are the format's.

- A deletion is a `d` value and then a tombstone (CD-48). A `d` value holds what the replica identity keeps of the old
  row, by default the key alone; its other columns are null.
- A change of key is a deletion of the old key and a `c` under the new one: a compacted topic keeps no ghost.
- A TOASTed value that an update did not touch is not sent by the server. It is filled from the old row where the
  replica identity has it (FULL); otherwise the field is left out and listed in a header: never a placeholder.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from cdc.errors import CdcError, Kind
from cdc.formats.flat import FLAT
from cdc.formats.protocol import CREATE, DELETE, READ, TRUNCATE, UPDATE, Format, Origin, TableShape, Values
from cdc.pgoutput.messages import UNCHANGED, Delete, Relation, ReplicaIdentity, Row, Update, Value
from cdc.records import NO_TOPIC, TopicName
from cdc.types import Types
from cdc.values import JsonValue

__all__ = ["CREATE", "DELETE", "READ", "TRUNCATE", "UPDATE", "Payload", "TableEncoder", "key_columns"]


class Payload(NamedTuple):
    """Key and value of one record; `value` None is a tombstone; `unavailable` names the fields left out.

    A tuple, because one is made for every change, in a third of the time that a frozen dataclass takes.
    """

    key: bytes
    value: bytes | None
    unavailable: tuple[str, ...] = ()
    headers: tuple[tuple[str, bytes], ...] = ()
    """What the format adds to the engine's own headers."""


def key_columns(relation: Relation, primary_key: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that make the record key.

    With REPLICA IDENTITY FULL every column is marked, so the table's own primary key decides. Otherwise the marked
    columns are the only ones that a deletion brings with it. Where none is marked, the server lets no update and no
    deletion happen; the primary key serves if there is one, else the whole row: equal rows share a partition.
    """
    names = tuple(column.name for column in relation.columns)
    marked = tuple(column.name for column in relation.columns if column.is_key)
    if marked and relation.replica_identity is not ReplicaIdentity.FULL:
        # The stream marks them in the table's order. The key's own, which is also Debezium's, decides the bytes.
        return tuple(primary_key) if set(primary_key) == set(marked) else marked
    return tuple(primary_key) if primary_key and set(primary_key) <= set(names) else names


class TableEncoder:
    """Turn the rows of one relation, as it is now, into keys and values."""

    def __init__(
        self,
        relation: Relation,
        primary_key: Sequence[str] = (),
        types: Types | None = None,
        form: Format = FLAT,
        topic: TopicName = NO_TOPIC,
    ) -> None:
        """Prepare the columns once, so that a row costs only the conversions that it needs.

        Raises:
            CdcError: The format cannot write records of this relation.
        """
        self.table = relation.name
        self.relation = relation
        self.name = f"{relation.schema}.{relation.name}"
        """Schema and name, for people."""
        self.primary_key = tuple(primary_key)
        self._names = [column.name for column in relation.columns]
        self._key = tuple(self._names.index(name) for name in key_columns(relation, primary_key))
        self._form = form.table(TableShape(relation, self._key, types or Types(), topic))
        self._converters = self._form.converters
        self._value = self._form.value
        self._write = None if self._form.writer is None else self._form.writer.write

    def row(self, row: Row, operation: str, now_ms: int, origin: Origin = None) -> Payload:
        """Encode a row that exists: of an insert (`c`) or of a snapshot (`r`).

        Raises:
            CdcError: UNENCODABLE when no record can hold the row; PROTOCOL when it does not fit the relation.
        """
        if self._write is not None and (written := self._write(row, operation, now_ms)) is not None:
            return Payload(*written)
        values = self._convert(row)
        return Payload(self._encode_key(values), self._value(operation, values, None, now_ms, origin))

    def update(self, update: Update, now_ms: int, origin: Origin = None) -> list[Payload]:
        """Encode a new version of a row: one `u`; when its key changed a `d`, a tombstone and a `c`.

        Raises:
            CdcError: UNENCODABLE when no record can hold the row; PROTOCOL when it does not fit the relation.
        """
        old = update.old
        # Without it the key is as it was, or the server would have sent the old one.
        if old is None and self._write is not None and (written := self._write(update.new, UPDATE, now_ms)) is not None:
            return [Payload(*written)]
        new = self._fill(update)
        values = self._convert(new)
        key = self._encode_key(values)
        unavailable: tuple[str, ...] = ()
        if UNCHANGED in new:
            unavailable = tuple(name for name, value in zip(self._names, new, strict=True) if value is UNCHANGED)
        before = None
        if old is not None:
            before = self._convert(old)
            if (old_key := self._encode_key(before)) != key:
                created = self._value(CREATE, values, None, now_ms, origin)
                moved = self._form.moved_to(key)
                return [
                    Payload(old_key, self._value(DELETE, None, before, now_ms, origin), headers=moved),
                    Payload(old_key, None, headers=moved),
                    Payload(key, created, unavailable, self._form.moved_from(old_key)),
                ]
        return [Payload(key, self._value(UPDATE, values, before, now_ms, origin), unavailable)]

    def delete(self, delete: Delete, now_ms: int, origin: Origin = None) -> list[Payload]:
        """Encode the end of a row: a `d` and its tombstone (CD-48).

        Raises:
            CdcError: UNENCODABLE when no record can hold the row; PROTOCOL when it does not fit the relation.
        """
        values = self._convert(delete.old)
        key = self._encode_key(values)
        return [Payload(key, self._value(DELETE, None, values, now_ms, origin)), Payload(key, None)]

    def truncation(self, now_ms: int, origin: Origin = None) -> Payload:
        """Encode the end of all rows: a `t` under a key that no row has."""
        return Payload(self._form.truncation_key(), self._value(TRUNCATE, None, None, now_ms, origin))

    def raw_key(self, row: Row) -> bytes:
        """Return a key for a row that cannot be encoded: its true one if possible, else one of the texts as they came.

        Letters of one row share it, so they stay in order.
        """
        with suppress(CdcError):
            return self._encode_key(self._convert(row))
        texts = {self._names[index]: str(row[index]) if index < len(row) else None for index in self._key}
        return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")

    def _fill(self, update: Update) -> Row:
        """Return the new row with its unchanged TOAST taken from the old row, as far as the old row has it."""
        new, old = update.new, update.old
        if old is None or UNCHANGED not in new:
            return new
        # A row of the key alone has nulls in all other columns, which say nothing about their values.
        known = frozenset(self._key) if update.old_is_key else range(len(new))
        return tuple(
            before if now is UNCHANGED and index in known else now
            for index, (now, before) in enumerate(zip(new, old, strict=True))
        )

    def _convert(self, row: Row) -> list[Value | JsonValue]:
        if len(row) != len(self._names):
            raise self._misfit(f"{len(row)} values for {len(self._names)} columns")
        values: list[Value | JsonValue] = list(row)
        for index, convert in self._converters:
            value = row[index]
            if value is not None and value is not UNCHANGED:
                try:
                    values[index] = convert(value)  # type: ignore[arg-type]  # bytes only if we asked for binary
                except ValueError as error:
                    raise self._unencodable(f"column {self._names[index]} cannot be read") from error
        return values

    def _encode_key(self, values: Values) -> bytes:
        for index in self._key:
            if values[index] is UNCHANGED:
                raise self._unencodable("the server left out a key column")
        return self._form.key(values)

    def _unencodable(self, message: str) -> CdcError:
        """Return the error of a row that the stream gave in order and that no record can hold."""
        return CdcError(Kind.UNENCODABLE, f"row of {self.name}: {message}")

    def _misfit(self, message: str) -> CdcError:
        return CdcError(Kind.PROTOCOL, f"row of {self.name}: {message}")
