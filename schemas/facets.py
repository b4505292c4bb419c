"""Owns the keywords that limit one value by themselves: which of their changes there are, and which of them break.

Must never look below a place or follow a reference. Facts: FL-130, FL-131 and FL-133 of the contract.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from schemas.references import SchemaError

_Facet = tuple[str, str, bool]
"""The keyword, what happened to it, and whether that breaks."""

_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_FROM_ZERO: Final = frozenset({"minLength", "minItems", "minProperties"})
"""Where zero is the same as no limit."""
_AS_WRITTEN: Final = ("pattern", "format", "contentEncoding", "contentMediaType")

_Keywords = Mapping[str, Any]


def changed_facets(before: _Keywords, after: _Keywords) -> Iterator[_Facet]:
    """Yield every change of a keyword that stands for itself.

    Raises:
        SchemaError: A limit is no number, or a list is none.
    """
    if _types(before) != _types(after):
        yield "type", "type-changed", True
    yield from _choices(before, after)
    for name in _LOWER:
        yield from _limit(name, before, after, operator.gt)
    for name in _UPPER:
        yield from _limit(name, before, after, operator.lt)
    yield from _steps(before, after)
    for name in _AS_WRITTEN:
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, f"{name}-{_happened(old, new)}", new is not None
    was, becomes = (each.get("uniqueItems") is True for each in (before, after))
    if was != becomes:
        yield "uniqueItems", f"uniqueItems-{'added' if becomes else 'removed'}", becomes


def equal(one: Any, other: Any) -> bool:
    """Tell whether two values are the same to JSON: 1 is 1.0 and not true, the order of keys does not count."""
    return bool(_key(one) == _key(other))


def _types(keywords: _Keywords) -> frozenset[str] | None:
    given = keywords.get("type")
    return None if given is None else frozenset([given] if isinstance(given, str) else map(str, given))


def _choices(before: _Keywords, after: _Keywords) -> Iterator[_Facet]:
    old, new = _enum(before), _enum(after)
    if "const" in before and "const" in after:
        if old != new:
            yield "const", "const-changed", True
        return
    name = "enum" if "enum" in before or "enum" in after else "const"
    if old is None or new is None:
        if old is not None or new is not None:
            yield name, f"{name}-{'added' if old is None else 'removed'}", old is None
        return
    if old - new:
        yield name, f"{name}-value-removed", True
    if new - old:
        yield name, f"{name}-value-added", False


def _enum(keywords: _Keywords) -> frozenset[Any] | None:
    if "const" in keywords:
        return frozenset([_key(keywords["const"])])
    if "enum" not in keywords:
        return None
    if not isinstance(keywords["enum"], list):
        raise SchemaError(f"'enum' is {keywords['enum']!r}, and it must be an array")
    return frozenset(map(_key, keywords["enum"]))


def _limit(name: str, before: _Keywords, after: _Keywords, tighter: Callable[[Any, Any], bool]) -> Iterator[_Facet]:
    old, new = _number(name, before), _number(name, after)
    if name in _FROM_ZERO:
        old, new = old or None, new or None
    if old == new:
        return
    if old is None or new is None:
        yield name, f"{name}-{_happened(old, new)}", old is None
    else:
        yield name, f"{name}-{'raised' if new > old else 'lowered'}", bool(tighter(new, old))


def _steps(before: _Keywords, after: _Keywords) -> Iterator[_Facet]:
    old, new = _number("multipleOf", before), _number("multipleOf", after)
    if old == new:
        return
    # What is a multiple of 0.10 is one of 0.05 as well.
    finer = old is not None and new is not None and new > 0 and old % new == 0
    yield "multipleOf", f"multipleOf-{_happened(old, new)}", new is not None and not finer


def _number(name: str, keywords: _Keywords) -> Decimal | None:
    given = keywords.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float | Decimal):
        raise SchemaError(f"{name!r} is {given!r}, and it must be a number")
    return Decimal(str(given))


def _happened(old: object, new: object) -> str:
    return "added" if old is None else "removed" if new is None else "changed"


def _key(value: Any) -> Any:
    """Return a value that is equal, and has an equal hash, for what is equal to JSON."""
    if isinstance(value, Mapping):
        return "object", frozenset((name, _key(each)) for name, each in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_key, value))
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value).__name__, value
    return "number", Decimal(str(value))
