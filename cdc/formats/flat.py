"""Owns the flat JSON object of CD-40 to CD-50, the engine's default. Knows one table at a time.

- `__op`: c, u, d, r (CD-44), t. `__deleted` is on every value, "true" on a `d` and "false" elsewhere (CD-46).
- A `d` holds what the replica identity keeps of the old row, by default the key alone; its other columns are null.
- A column that the server left out is missing; a null one is null (CD-50).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson

from cdc import compiled
from cdc.errors import CdcError, Kind
from cdc.formats.protocol import (
    CREATE,
    DELETE,
    READ,
    UPDATE,
    Convert,
    Origin,
    TableFormat,
    TableShape,
    Values,
    Writer,
)
from cdc.pgoutput.messages import UNCHANGED
from cdc.values import boolean, timestamptz

_TRUNCATED: Final = "__truncated"
_OWN: Final = ("__deleted", "__op", "__table", "__ts_ms")
_CONVERTED: Final = 4
_KINDS: Final[Mapping[Convert | None, int]] = {None: 0, timestamptz: 1, int: 2, boolean: 3}
"""How the compiled writer takes a column's text, by what converts it otherwise. Numbers as in `_flat.pyx`."""


class FlatTable:
    """The flat keys and values of one relation."""

    def __init__(self, shape: TableShape) -> None:
        """Prepare the columns once, so that a row costs only what it needs."""
        relation = shape.relation
        self._table = relation.name
        self._whole_name = f"{relation.schema}.{relation.name}"
        names = [column.name for column in relation.columns]
        self._names = (*_apart(names), *_OWN)
        self._nulls = [None] * len(names)
        self._key = [(names[index], index) for index in shape.key]
        self._truncation_key = orjson.dumps({_TRUNCATED: self._whole_name})
        found = [
            (index, shape.types.converter(column.type_oid, column.type_modifier))
            for index, column in enumerate(relation.columns)
        ]
        self.converters = [(index, convert) for index, convert in found if convert is not None]
        self.writer: Writer | None = self._writer([convert for _, convert in found])

    def _writer(self, converters: Sequence[Convert | None]) -> Writer | None:
        """Return the compiled way to write whole rows, if it is there."""
        if compiled.row_writer is None:
            return None
        names = self._names[: len(converters)]
        own = {operation: (_deleted(operation), operation, self._table) for operation in (CREATE, READ, UPDATE)}
        tails = {
            operation: orjson.dumps(dict(zip(_OWN, values, strict=False)))[1:-1] + b',"__ts_ms":'
            for operation, values in own.items()
        }
        return compiled.row_writer(
            [orjson.dumps(name) + b":" for name in names],
            [_KINDS.get(convert, _CONVERTED) for convert in converters],
            list(converters),
            [index for _, index in self._key],
            tails,
        )

    def key(self, values: Values) -> bytes:
        """Encode the key columns as an object (CD-47)."""
        try:
            if len(self._key) == 1:
                # Nearly every key, and half the time of the general way.
                name, index = self._key[0]
                return orjson.dumps({name: values[index]})
            return orjson.dumps({name: values[index] for name, index in self._key})
        except orjson.JSONEncodeError as error:
            raise self.unwritable((name, values[index]) for name, index in self._key) from error

    def value(
        self,
        operation: str,
        after: Values | None,
        before: Values | None,
        now_ms: int,
        origin: Origin,  # noqa: ARG002  # the flat record tells of its transaction in headers alone
    ) -> bytes:
        """Encode the row as it is now, or was when it went; of a truncation every column is null."""
        values = after if after is not None else before if before is not None else self._nulls
        own = (_deleted(operation), operation, self._table, now_ms)
        fields = dict(zip(self._names, (*values, *own), strict=True))
        if UNCHANGED in values:
            fields = {name: value for name, value in fields.items() if value is not UNCHANGED}
        try:
            return orjson.dumps(fields)
        except orjson.JSONEncodeError as error:
            raise self.unwritable(fields.items()) from error

    def unwritable(self, fields: Iterable[tuple[str, object]]) -> CdcError:
        """Return the error of a row that no JSON document can hold: the columns at fault, not what is in them."""
        named = ", ".join(f"column {name}" for name, value in fields if not _writable(value))
        return CdcError(Kind.UNENCODABLE, f"row of {self._whole_name}: {named} cannot be written as JSON")

    def truncation_key(self) -> bytes:
        """Encode an object that names the table; several tables may share a topic."""
        return self._truncation_key

    def moved_from(self, old_key: bytes) -> tuple[tuple[str, bytes], ...]:  # noqa: ARG002  # the protocol's
        """Return no header."""
        return ()

    def moved_to(self, new_key: bytes) -> tuple[tuple[str, bytes], ...]:  # noqa: ARG002  # the protocol's
        """Return no header."""
        return ()


def _deleted(operation: str) -> str:
    return "true" if operation == DELETE else "false"


def _apart(names: Sequence[str]) -> list[str]:
    """Return the columns' fields: one that has the name of a field of ours gets underscores until it has its own."""
    found: list[str] = []
    for name in names:
        field = name
        while field in _OWN or (field != name and (field in names or field in found)):
            field = f"_{field}"
        found.append(field)
    return found


def _writable(value: object) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


class FlatFormat:
    """Flat JSON."""

    def table(self, shape: TableShape) -> TableFormat:
        """Prepare for the rows of one relation."""
        return FlatTable(shape)


FLAT: Final = FlatFormat()
