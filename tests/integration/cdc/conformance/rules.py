"""Owns the rules by which an entry of the list tells a value: each says how it must look beside the other engine's.

A rule never says "whatever": where a value cannot be named, it is tied to the other side's, or to the column's type.
"""

import json
import re
import struct
from base64 import b64decode
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

from tests.integration.cdc.conformance.comparison import MISSING, Difference

_PLACEHOLDER: Final = "__debezium_unavailable_value"
_START_OF_POINTS: Final = {1: 5, 2: 9, 3: 13}
"""Where the coordinates begin in a WKB point, line and polygon of one ring."""
_EMPTY: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), (0,)),
    **dict.fromkeys(("float4", "float8"), (0.0,)),
    **dict.fromkeys(
        ("text", "varchar", "bpchar", "uuid", "jsonb", "inet", "macaddr", "int4range", "tsvector", "bytea"), ("",)
    ),
    **dict.fromkeys(("mood", "xml_or_text"), ("",)),
    **dict.fromkeys(("timestamp", "timestamptz"), ("1970-01-01T00:00:00Z",)),
    **dict.fromkeys(("time", "timetz"), ("00:00:00Z",)),
    "bool": (False,),
    "bit": (False, ""),
    "date": ("1970-01-01Z",),
    "interval": ("P0Y0M0DT0H0M0S",),
    "money": ("0.00",),
    "numeric": ("0", "0.00"),
    "text[]": ([],),
    "point": ({"x": 0.0, "y": 0.0, "wkb": "AQEAAAAAAAAAAAAAAAAAAAAAAAAA", "srid": None},),
}
"""What Debezium writes for null where a column is NOT NULL."""


def meets(rule: str, value: Any, difference: Difference) -> bool:
    """Say whether a value is as a rule says; several rules have ` or ` between them.

    Raises:
        KeyError: There is no such rule.
    """
    return any(_meets(each, value, difference) for each in rule.split(" or "))


def _meets(rule: str, value: Any, difference: Difference) -> bool:
    name, _, argument = rule.partition(": ")
    if name in _WITH_ARGUMENT:
        return _WITH_ARGUMENT[name](argument, value)
    return _RULES[name](value, difference)


def _padded(value: Any) -> Any:
    """Fill the fraction of instants to six digits."""
    if isinstance(value, list):
        return [_padded(each) for each in value]
    match = re.fullmatch(r"(.*:\d\d)(?:\.(\d+))?Z", value) if isinstance(value, str) else None
    return f"{match[1]}.{(match[2] or '').ljust(6, '0')}Z" if match else value


def _numbers(structure: Any) -> set[float]:
    """Return the numbers of Debezium's structure for a geometric type."""
    if "center" in structure:
        return _numbers(structure["center"]) | {structure["radius"]}
    if "wkb" not in structure:
        return {structure[name] for name in "abc"}
    content = b64decode(structure["wkb"])
    points = content[_START_OF_POINTS[content[1]] :]
    return {number for (number,) in struct.iter_unpack("<d", points)}


def _is_empty(theirs: Any, difference: Difference) -> bool:
    return any(theirs == each and type(theirs) is type(each) for each in _EMPTY.get(difference.type, ()))


def _is_geometry(theirs: Any, difference: Difference) -> bool:
    if not isinstance(difference.ours, str):
        return False
    return isinstance(theirs, dict) and _numbers(theirs) == set(map(float, re.findall(r"-?[\d.]+", difference.ours)))


def _is_same_float4(theirs: Any, difference: Difference) -> bool:
    sides = (theirs, difference.ours)
    return all(isinstance(each, float) for each in sides) and len({struct.pack("f", each) for each in sides}) == 1


def _columns(key: Any) -> list[tuple[str, Any]]:
    """Return columns and values of a key in their order."""
    return [*json.loads(key, object_pairs_hook=list)]


def _is_key_in_another_order(theirs: Any, difference: Difference) -> bool:
    one, other = _columns(theirs), _columns(difference.ours)
    return one != other and sorted(one) == sorted(other)


def _is_key_with_another_text(theirs: Any, difference: Difference) -> bool:
    return _columns(theirs) == _columns(difference.ours)


def _is_key_of(names: str, value: Any) -> bool:
    return isinstance(value, str) and [name for name, _ in _columns(value)] == names.split(", ")


def _is_sequence_of_one(ours: Any, _difference: Difference) -> bool:
    first, second = json.loads(ours)
    return bool(first == second and first.isdecimal())


def _is_sequence(theirs: Any, difference: Difference) -> bool:
    """Say whether it tells the commit before, then the change, which is before its own commit."""
    before, change = (None if each is None else int(each) for each in json.loads(theirs))
    return change is not None and (before or 0) <= change < int(json.loads(difference.ours)[1])


_WITH_ARGUMENT: Final[Mapping[str, Callable[[str, Any], bool]]] = {
    "key of": _is_key_of,
    "fails": lambda text, value: isinstance(value, str) and text in value,
}
_RULES: Final[Mapping[str, Callable[[Any, Difference], bool]]] = {
    "the row's": lambda ours, _: ours is not MISSING,
    "the same, padded": lambda theirs, difference: bool(theirs == _padded(difference.ours)),
    "empty": _is_empty,
    "a structure of the same numbers": _is_geometry,
    "the same float4": _is_same_float4,
    "placeholder": lambda theirs, _: bool(theirs == _PLACEHOLDER),
    "the placeholder's bytes": lambda theirs, _: bool(theirs == list(_PLACEHOLDER.encode())),
    "the same, in the index's order": _is_key_in_another_order,
    "the same, in Java's digits": _is_key_with_another_text,
    "a key": lambda theirs, _: isinstance(theirs, str) and bool(_columns(theirs)),
    "a number": lambda theirs, _: isinstance(theirs, int),
    "the change's LSN": lambda theirs, difference: bool(theirs < difference.ours),
    "the commit's LSN": lambda ours, _: isinstance(ours, int),
    "last commit and change": _is_sequence,
    "the commit, twice": _is_sequence_of_one,
    "Headwater's version": lambda ours, _: bool(ours == version("headwater")),
    "its records": lambda ours, _: bool(ours),
}
