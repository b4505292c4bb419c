"""Owns the shape of a record's key and value: the flat JSON object of CD-40 to CD-50. Knows one table at a time.

- `__op`: c, u, d, r (CD-44). `__deleted` is on every value, "true" on a `d` and "false" elsewhere (CD-46).
- A deletion is a `d` value and then a tombstone (CD-48). A `d` value holds what the replica identity keeps of the old
  row, by default the key alone; its other columns are null.
- A change of key is a deletion of the old key and a `c` under the new one: a compacted topic keeps no ghost.
- A TOASTed value that an update did not touch is not sent by the server. It is filled from the old row where the
  replica identity has it (FULL); otherwise the field is left out and listed in a header: never a placeholder.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import orjson

from cdc.errors import CdcError, Kind
from cdc.pgoutput.messages import UNCHANGED, Delete, Relation, ReplicaIdentity, Row, Update, Value
from cdc.types import Types
from cdc.values import JsonValue

CREATE: Final = "c"
UPDATE: Final = "u"
DELETE: Final = "d"
READ: Final = "r"


@dataclass(frozen=True, slots=True)
class Payload:
    """Key and value of one record; `value` None is a tombstone; `unavailable` names the fields left out."""

    key: bytes
    value: bytes | None
    unavailable: tuple[str, ...] = ()


def key_columns(relation: Relation, primary_key: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that make the record key.

    With REPLICA IDENTITY FULL every column is marked, so the table's own primary key decides. Otherwise the marked
    columns are the only ones that a deletion brings with it. Where none is marked, the server lets no update and no
    deletion happen; the primary key serves if there is one, else the whole row: equal rows share a partition.
    """
    names = tuple(column.name for column in relation.columns)
    marked = tuple(column.name for column in relation.columns if column.is_key)
    if marked and relation.replica_identity is not ReplicaIdentity.FULL:
        return marked
    return tuple(primary_key) if primary_key and set(primary_key) <= set(names) else names


class TableEncoder:
    """Turn the rows of one relation, as it is now, into keys and values."""

    def __init__(self, relation: Relation, primary_key: Sequence[str] = (), types: Types | None = None) -> None:
        """Prepare the columns once, so that a row costs only the conversions that it needs."""
        types = types or Types()
        self.table = relation.name
        self.relation = relation
        self.name = f"{relation.schema}.{relation.name}"
        """Schema and name, for people."""
        self.primary_key = tuple(primary_key)
        self._names = [column.name for column in relation.columns]
        converters = [
            (index, types.converter(column.type_oid, column.type_modifier))
            for index, column in enumerate(relation.columns)
        ]
        self._converters = [(index, convert) for index, convert in converters if convert is not None]
        self._key = [(name, self._names.index(name)) for name in key_columns(relation, primary_key)]

    def row(self, row: Row, operation: str, now_ms: int) -> Payload:
        """Encode a row that exists: of an insert (`c`) or of a snapshot (`r`).

        Raises:
            CdcError: UNENCODABLE when no record can hold the row; PROTOCOL when it does not fit the relation.
        """
        values = self._convert(row)
        return Payload(self._encode_key(values), self._encode_value(values, operation, now_ms))

    def update(self, update: Update, now_ms: int) -> list[Payload]:
        """Encode a new version of a row: one `u`; when its key changed a `d`, a tombstone and a `c`.

        Raises:
            CdcError: UNENCODABLE when no record can hold the row; PROTOCOL when it does not fit the relation.
        """
        new, old = self._fill(update), update.old
        values = self._convert(new)
        key = self._encode_key(values)
        unavailable: tuple[str, ...] = ()
        if UNCHANGED in new:
            unavailable = tuple(name for name, value in zip(self._names, new, strict=True) if value is UNCHANGED)
        if old is not None and (old_key := self._encode_key(self._convert(old))) != key:
            return [
                *self._deletion(old_key, old, now_ms),
                Payload(key, self._encode_value(values, CREATE, now_ms), unavailable),
            ]
        return [Payload(key, self._encode_value(values, UPDATE, now_ms), unavailable)]

    def delete(self, delete: Delete, now_ms: int) -> list[Payload]:
        """Encode the end of a row: a `d` and its tombstone (CD-48).

        Raises:
            CdcError: UNENCODABLE when no record can hold the row; PROTOCOL when it does not fit the relation.
        """
        return self._deletion(self._encode_key(self._convert(delete.old)), delete.old, now_ms)

    def raw_key(self, row: Row) -> bytes:
        """Return a key for a row that cannot be encoded: its true one if possible, else one of the texts as they came.

        Letters of one row share it, so they stay in order.
        """
        with suppress(CdcError):
            return self._encode_key(self._convert(row))
        texts = {name: str(row[index]) if index < len(row) else None for name, index in self._key}
        return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")

    def _deletion(self, key: bytes, old: Row, now_ms: int) -> list[Payload]:
        return [Payload(key, self._encode_value(self._convert(old), DELETE, now_ms)), Payload(key, None)]

    def _fill(self, update: Update) -> Row:
        """Return the new row with its unchanged TOAST taken from the old row, as far as the old row has it."""
        new, old = update.new, update.old
        if old is None or UNCHANGED not in new:
            return new
        # A row of the key alone has nulls in all other columns, which say nothing about their values.
        known = {index for _, index in self._key} if update.old_is_key else range(len(new))
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

    def _encode_key(self, values: Sequence[Value | JsonValue]) -> bytes:
        key = {name: values[index] for name, index in self._key}
        if UNCHANGED in key.values():
            raise self._unencodable("the server left out a key column")
        return self._document(key)

    def _encode_value(self, values: Iterable[Value | JsonValue], operation: str, now_ms: int) -> bytes:
        fields = dict(zip(self._names, values, strict=True))
        if UNCHANGED in fields.values():
            fields = {name: value for name, value in fields.items() if value is not UNCHANGED}
        fields["__deleted"] = "true" if operation == DELETE else "false"
        fields["__op"] = operation
        fields["__table"] = self.table
        fields["__ts_ms"] = now_ms
        return self._document(fields)

    def _document(self, fields: Mapping[str, object]) -> bytes:
        try:
            return orjson.dumps(fields)
        except orjson.JSONEncodeError as error:
            # The library's text may hold the value; ours names the columns at fault.
            raise self._unencodable(f"{', '.join(_unwritable(fields))} cannot be written as JSON") from error

    def _unencodable(self, message: str) -> CdcError:
        """Return the error of a row that the stream gave in order and that no record can hold."""
        return CdcError(Kind.UNENCODABLE, f"row of {self.name}: {message}")

    def _misfit(self, message: str) -> CdcError:
        return CdcError(Kind.PROTOCOL, f"row of {self.name}: {message}")


def _unwritable(fields: Mapping[str, object]) -> Iterator[str]:
    """Give the names of the fields that no JSON document can hold."""
    for name, value in fields.items():
        try:
            orjson.dumps(value)
        except orjson.JSONEncodeError:
            yield f"column {name}"
