"""Owns the Avro schemas of a relation's keys and values, and what makes a column's value of its text. Writes no bytes.

- Every column is nullable with default null: by Avro's rules of schema resolution (specification 1.12, "Schema
  Resolution") a column may then come and go, and a reader of the new schema reads the old records (BACKWARD).
- Numbers, booleans and bytes have Avro's own types; every other type is a string with the text of the flat format.
- An array is one of nullable elements. Avro knows its depth beforehand and PostgreSQL does not: only one dimension.
- A name that Avro does not allow is made one that it does; the original stands in the property `column`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from psycopg.postgres import types as builtins

from cdc.arrays import parse_array
from cdc.formats.protocol import Convert, TableShape
from cdc.types import Types

OPERATION, TABLE, CAPTURED, DELETED = "__op", "__table", "__ts_ms", "__deleted"
OWN_FIELDS: Final = (OPERATION, TABLE, CAPTURED, DELETED)
ORIGINAL: Final = "column"
"""The property of a field that holds the column's name as PostgreSQL spells it."""

_NUMBERS: Final = {"int2": "int", "int4": "int", "int8": "long", "oid": "long", "float4": "double", "float8": "double"}
_AVRO: Final = {builtins[name].oid: avro for name, avro in {**_NUMBERS, "bool": "boolean"}.items()}
_FLOATS: Final = frozenset({builtins["float4"].oid, builtins["float8"].oid})
_BITS: Final = frozenset({builtins["bit"].oid, builtins["varbit"].oid})
_BYTEA: Final = builtins["bytea"].oid
_ILLEGAL: Final = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Derived:
    """The schemas of a relation, in Avro's JSON, and how its columns get into records of them."""

    key: dict[str, Any]
    value: dict[str, Any]
    names: tuple[str, ...]
    """The field of each column, in the order of the columns."""
    converters: Sequence[tuple[int, Convert]]


def derive(shape: TableShape) -> Derived:
    """Return the schemas of a relation as it is now; equal relations give equal schemas."""
    relation = shape.relation
    names = _field_names([column.name for column in relation.columns])
    fields, converters = [], []
    for index, (name, column) in enumerate(zip(names, relation.columns, strict=True)):
        avro, convert = _type_of(shape.types, column.type_oid, column.type_modifier)
        fields.append({"name": name, "type": ["null", avro], "default": None, ORIGINAL: column.name})
        if convert is not None:
            converters.append((index, convert))
    own = [{"name": name, "type": "long" if name == CAPTURED else "string"} for name in OWN_FIELDS]
    namespace = f"{_legal(relation.schema)}.{_legal(relation.name)}"
    record = {"type": "record", "namespace": namespace, "doc": f"{relation.schema}.{relation.name}"}
    key = {**record, "name": "Key", "fields": [fields[index] for index in shape.key]}
    return Derived(key, {**record, "name": "Value", "fields": [*fields, *own]}, names, converters)


def _type_of(types: Types, oid: int, modifier: int) -> tuple[Any, Convert | None]:
    info, modifier = types.beneath(oid, modifier)
    if info is None:
        return "string", None
    if info.element:
        avro, convert = _type_of(types, info.element, modifier)
        if not isinstance(avro, str):
            # Elements that are arrays again, of a domain over one: their text says it all.
            return "string", None
        array = {"type": "array", "items": ["null", avro]}
        return array, partial(_one_dimension, element=convert, delimiter=info.delimiter)
    if info.oid == _BYTEA:
        return "bytes", _bytea
    if info.oid in _FLOATS:
        # Avro has numbers for NaN and the infinities; JSON has none, hence the texts there.
        return "double", float
    boolean = info.oid in _BITS and modifier == 1
    avro = "boolean" if boolean else _AVRO.get(info.oid, "string")
    return avro, types.converter(info.oid, modifier) if info.schema == "pg_catalog" else None


def _one_dimension(text: str, element: Convert | None, delimiter: str) -> list[object]:
    elements = parse_array(text, element, delimiter)
    if any(isinstance(each, list) for each in elements):
        raise ValueError("an array of more than one dimension has no Avro type")
    return elements


def _bytea(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("not a bytea of a session with bytea_output = hex")
    return bytes.fromhex(text[2:])


def _field_names(columns: Sequence[str]) -> tuple[str, ...]:
    """Return a legal name for each column, all different, none of them ours; legal ones stay as they are."""
    taken = set(OWN_FIELDS) | {name for name in columns if _legal(name) == name}
    names = []
    for column in columns:
        name = legal = _legal(column)
        if name != column or name in OWN_FIELDS:
            number = 2
            while name in taken:
                name, number = f"{legal}_{number}", number + 1
            taken.add(name)
        names.append(name)
    return tuple(names)


def _legal(name: str) -> str:
    legal = _ILLEGAL.sub("_", name)
    return f"_{legal}" if legal[:1].isdigit() else legal
