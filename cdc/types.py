"""Owns what is known of a database's types, and the choice of a column's converter by it. Asks no database.

The catalogue is read once when a session opens. A type made later announces itself: before the relation that uses it,
the stream describes it by a `Type` message, which names the *base* type of a domain (PostgreSQL's
`logicalrep_write_typ`). So decoding needs no query.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from psycopg.postgres import types as builtins

from cdc import values
from cdc.arrays import parse_array
from cdc.pgoutput.messages import Type
from cdc.values import Converter, JsonValue

_CATALOG: Final = "pg_catalog"
_DOMAIN_DEPTH: Final = 32
"""More domains upon each other than anybody makes: a catalogue that says otherwise runs in a circle."""


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A type of the catalogue; `base` is set on a domain, `element` on an array, both as OIDs, else 0."""

    oid: int
    schema: str
    name: str
    base: int = 0
    modifier: int = -1
    """What a domain adds to its base, as in `bit(1)`."""
    element: int = 0
    delimiter: str = ","
    """Between the elements of an array."""


@dataclass(frozen=True, slots=True)
class TypeCatalog:
    """The types of a database, and the digits that its `money` has after the point."""

    types: tuple[TypeInfo, ...] = ()
    money_digits: int = 2


def _built_in() -> dict[int, TypeInfo]:
    known = {}
    for each in builtins:
        known[each.oid] = TypeInfo(each.oid, _CATALOG, each.name)
        if each.array_oid:
            delimiter = ";" if each.name == "box" else ","
            array = TypeInfo(each.array_oid, _CATALOG, f"_{each.name}", element=each.oid, delimiter=delimiter)
            known[each.array_oid] = array
    return known


_BUILT_IN: Final = _built_in()


class Types:
    """Find the converter of a column's type, however it is made up."""

    def __init__(self, catalog: TypeCatalog | None = None) -> None:
        """Know the built-in types and those of the catalogue."""
        catalog = catalog or TypeCatalog()
        self._money = values.money(catalog.money_digits)
        self._known = {**_BUILT_IN, **{each.oid: each for each in catalog.types}}
        self._oids = {(each.schema, each.name): each.oid for each in self._known.values()}

    def learn(self, message: Type) -> None:
        """Take in a type that the stream describes, unless the catalogue knew it, and knew more of it."""
        if message.oid in self._known:
            return
        base = self._oids.get((message.schema, message.name), 0)
        # An array is named after its element. Another type of such a name keeps its text, see `_array_or_text`.
        element = self._oids.get((message.schema, message.name[1:]), 0) if message.name.startswith("_") else 0
        info = TypeInfo(message.oid, message.schema, message.name, base=base, element=0 if base else element)
        self._known[message.oid] = info
        self._oids.setdefault((message.schema, message.name), message.oid)

    def converter(self, oid: int, modifier: int = -1) -> Converter | None:
        """Return what turns a text of this type into its JSON value; None where the text is the value.

        Args:
            oid: The type of a column, be it a domain, an array, an array of domains over arrays.
            modifier: The column's, which tells `bit(1)` from longer ones.
        """
        info, modifier = self.beneath(oid, modifier)
        if info is None:
            return None
        if info.element:
            element = self.converter(info.element, modifier)
            return partial(parse_array, element=element, delimiter=info.delimiter)
        if info.schema != _CATALOG:
            return _array_or_text if info.name.startswith("_") else None
        if info.name == "money":
            return self._money
        return values.converter(info.oid, modifier)

    def beneath(self, oid: int, modifier: int = -1) -> tuple[TypeInfo | None, int]:
        """Return what a type is under any number of domains, and its modifier; None where nobody described it."""
        for _ in range(_DOMAIN_DEPTH):
            info = self._known.get(oid)
            if info is None or not info.base:
                return info, modifier
            oid, modifier = info.base, modifier if modifier >= 0 else info.modifier
        return None, modifier


def _array_or_text(text: str) -> JsonValue:
    """Convert a value of a type with an array's name whose element nobody described."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return parse_array(text)
    except ValueError:
        return text
