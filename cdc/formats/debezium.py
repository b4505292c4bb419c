"""Owns the envelope of Debezium's PostgreSQL connector, as its JsonConverter writes it without schemas.

Source of facts: Debezium 3 documentation, "Debezium connector for PostgreSQL", "Data change events" (the fields of the
envelope and of `source`; truncate events; the headers of a changed key) and Debezium's `RelationalChangeRecordEmitter`.
What differs, and why, is listed in docs/conformance.md: above all `lsn`, which is that of the commit, because every
change of a transaction has the same here, and the columns that the server left out, which are missing and never a
placeholder.
"""

from importlib.metadata import version
from typing import Any, Final

import orjson

from cdc.formats.flat import FlatTable
from cdc.formats.protocol import DELETE, TRUNCATE, Origin, SnapshotOrigin, TableFormat, TableShape, Values
from cdc.pgoutput.messages import UNCHANGED, Begin

CONNECTOR: Final = "postgresql"
NEW_KEY: Final = "__debezium.newkey"
OLD_KEY: Final = "__debezium.oldkey"


class DebeziumTable(FlatTable):
    """Debezium's keys and envelopes of one relation; the keys are the flat ones."""

    def __init__(self, shape: TableShape, name: str, database: str) -> None:
        """Prepare what `source` says of every row of the table."""
        super().__init__(shape)
        self.writer = None
        self._columns = [column.name for column in shape.relation.columns]
        self._source: dict[str, Any] = {
            "version": version("headwater"),
            "connector": CONNECTOR,
            "name": name,
            "ts_ms": 0,
            "snapshot": "false",
            "db": database,
            "sequence": None,
            "ts_us": 0,
            "ts_ns": 0,
            "schema": shape.relation.schema,
            "table": shape.relation.name,
            "txId": None,
            "lsn": None,
            "xmin": None,
            # Of a transaction that was replicated from elsewhere; which one, we do not tell.
            "origin": None,
            "origin_lsn": None,
        }
        self._origin: Origin = None
        self._written: orjson.Fragment | None = None

    def value(self, operation: str, after: Values | None, before: Values | None, now_ms: int, origin: Origin) -> bytes:
        """Encode an envelope."""
        if origin is not self._origin or self._written is None or not isinstance(origin, Begin):
            # The changes of a transaction share all that is said of their source.
            self._origin, self._written = origin, orjson.Fragment(self._describe(origin, now_ms))
        old, new = self._fields(before), None if operation in (DELETE, TRUNCATE) else self._fields(after)
        try:
            return orjson.dumps({
                "before": old,
                "after": new,
                "source": self._written,
                "transaction": None,
                "op": operation,
                "ts_ms": now_ms,
                "ts_us": now_ms * 1_000,
                "ts_ns": now_ms * 1_000_000,
            })  # fmt: skip
        except orjson.JSONEncodeError as error:
            raise self.unwritable([*(old or {}).items(), *(new or {}).items()]) from error

    def moved_from(self, old_key: bytes) -> tuple[tuple[str, bytes], ...]:
        """Return the header that a row's creation under a new key carries."""
        return ((OLD_KEY, old_key),)

    def moved_to(self, new_key: bytes) -> tuple[tuple[str, bytes], ...]:
        """Return the header that a row's deletion under its old key carries, and its tombstone."""
        return ((NEW_KEY, new_key),)

    def _fields(self, values: Values | None) -> dict[str, Any] | None:
        if values is None:
            return None
        fields = zip(self._columns, values, strict=True)
        return {name: value for name, value in fields if value is not UNCHANGED}

    def _describe(self, origin: Origin, now_ms: int) -> bytes:
        changed: dict[str, Any] = {"ts_ms": now_ms, "ts_us": now_ms * 1_000, "ts_ns": now_ms * 1_000_000}
        if isinstance(origin, Begin):
            at = origin.committed_us
            changed = {"ts_ms": at // 1_000, "ts_us": at, "ts_ns": at * 1_000, "txId": origin.xid}
            changed |= {"lsn": origin.final_lsn, "sequence": f'["{origin.final_lsn}","{origin.final_lsn}"]'}
        elif isinstance(origin, SnapshotOrigin):
            changed |= {"snapshot": "true", "lsn": origin.consistent_point}
            changed |= {"sequence": f'[null,"{origin.consistent_point}"]'}
        return orjson.dumps(self._source | changed)


class DebeziumFormat:
    """Debezium's envelope."""

    def __init__(self, name: str, database: str) -> None:
        """Write `source.name` (Debezium's topic prefix) and `source.db` so."""
        self._name = name
        self._database = database

    def table(self, shape: TableShape) -> TableFormat:
        """Prepare for the rows of one relation."""
        return DebeziumTable(shape, self._name, self._database)
