"""Owns what a change from one JSON Schema to another breaks: every difference that matters, each judged by one rule.

A change is breaking when documents that the old schema takes may be refused by the new one, and, by the contract, also
when a type changes in any way or a required property goes. Both sides are followed through their references, across
documents too, and a place that refers to itself is compared once. Must never validate a document. Facts: FL-130 to
FL-134 of the contract; JSON Schema 2020-12.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.facets import changed_facets, equal
from schemas.references import Followed, Place, SchemaError

_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
_OPAQUE: Final = (
    *("not", "if", "then", "else", "contains", "propertyNames", "patternProperties", "dependentSchemas"),
    *("dependentRequired", "dependencies", "unevaluatedProperties", "unevaluatedItems"),
)
"""Compared as a whole: a difference in any of these is taken for a breaking one."""


@dataclass(frozen=True, slots=True)
class Change:
    """Hold one difference.

    Attributes:
        pointer: Where in the document that the schema describes, as a path through the old schema (RFC 6901), such as
            `/properties/vin/pattern`; references are followed and not named.
        kind: What changed, such as `required-added`.
        before: The old value, None if there was none.
        after: The new one, likewise.
        breaking: What the rules say.
    """

    pointer: str
    kind: str
    before: Any
    after: Any
    breaking: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the service's answer (FL-107)."""
        return {"path": self.pointer, "kind": self.kind, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold every change from one schema to another, in the order of the old one."""

    changes: tuple[Change, ...]

    @property
    def breaking(self) -> tuple[Change, ...]:
        """Return what readers or writers of the old schema would notice."""
        return tuple(each for each in self.changes if each.breaking)

    @property
    def non_breaking(self) -> tuple[Change, ...]:
        """Return what they would not."""
        return tuple(each for each in self.changes if not each.breaking)

    @property
    def compatible(self) -> bool:
        """Return True when nothing breaks."""
        return not self.breaking

    @property
    def reason(self) -> str:
        """Return the verdict in words (FL-134)."""
        if self.breaking:
            return "breaking changes"
        return "non-breaking changes" if self.changes else "compatible"

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the service's answer (FL-107)."""
        return {
            "compatible": self.compatible,
            "reason": self.reason,
            "breakingChanges": [each.as_dict() for each in self.breaking],
            "nonBreakingChanges": [each.as_dict() for each in self.non_breaking],
        }


def compare(old: Place, new: Place) -> Comparison:
    """Return every change from the old schema to the new one.

    Raises:
        SchemaError: A reference leads nowhere, or a keyword is not what it must be.
    """
    try:
        return Comparison(tuple(_Walk().differences("", old, new)))
    except RecursionError as error:
        raise SchemaError("the schemas are nested too deep to be compared") from error


@dataclass(slots=True)
class _Walk:
    """Go through two schemas side by side; a pair of places that leads to itself is not entered again."""

    entered: set[tuple[int, int]] = field(default_factory=set)

    def differences(self, at: str, before: Place, after: Place) -> Iterator[Change]:
        """Yield what differs between two places and below them."""
        pair = (id(before.value), id(after.value))
        if pair in self.entered:
            return
        self.entered.add(pair)
        try:
            yield from self._at(at, before.followed(), after.followed())
        finally:
            self.entered.remove(pair)

    def _at(self, at: str, old: Followed, new: Followed) -> Iterator[Change]:
        before, after = old.keywords, new.keywords
        if old.refused or new.refused:
            if old.refused != new.refused:
                kind = f"schema-{'opened' if old.refused else 'closed'}"
                yield Change(at, kind, not old.refused and before, not new.refused and after, breaking=new.refused)
            return
        for name, kind, breaking in changed_facets(before, after):
            yield Change(f"{at}/{_escaped(name)}", kind, before.get(name), after.get(name), breaking)
        yield from self._properties(at, old, new)
        yield from self._allowed(f"{at}/additionalProperties", old, new, "additionalProperties")
        yield from self._positions(f"{at}/prefixItems", old, new)
        yield from self._allowed(f"{at}/items", old, new, "items")
        for name in _BRANCHES:
            yield from self._branches(f"{at}/{name}", old, new, name)
        for name in _OPAQUE:
            if not self._alike(old, new, name):
                yield Change(f"{at}/{name}", f"{name}-changed", before.get(name), after.get(name), breaking=True)

    def _properties(self, at: str, old: Followed, new: Followed) -> Iterator[Change]:
        before, after = old.named("properties"), new.named("properties")
        needed, demanded = (each.names("required") for each in (old, new))
        for name in dict.fromkeys((*before, *after, *needed, *demanded)):
            place = f"{at}/properties/{_escaped(name)}"
            first, second = (sides[name].value if name in sides else None for sides in (before, after))
            gone, come = name in before and name not in after, name in after and name not in before
            if name in demanded and name not in needed:
                yield Change(place, "required-added", first, second, breaking=True)
            elif name in needed and gone:
                yield Change(place, "required-removed", first, None, breaking=True)
            elif name in needed and name not in demanded:
                yield Change(place, "required-relaxed", first, second, breaking=False)
            elif gone:
                # Documents that have it are taken all the same, unless extra keys are forbidden (FL-132).
                closed = (extra := new.child("additionalProperties")) is not None and extra.value is False
                yield Change(place, "property-removed", first, None, breaking=closed)
            elif come:
                yield Change(place, "property-added", None, second, breaking=False)
            if name in before and name in after:
                yield from self.differences(place, before[name], after[name])

    def _positions(self, at: str, old: Followed, new: Followed) -> Iterator[Change]:
        first, second = old.listed("prefixItems"), new.listed("prefixItems")
        for index, (one, other) in enumerate(zip(first, second, strict=False)):
            yield from self.differences(f"{at}/{index}", one, other)
        if len(first) != len(second):
            yield Change(at, "prefixItems-changed", _values(first), _values(second), breaking=True)

    def _allowed(self, at: str, old: Followed, new: Followed, name: str) -> Iterator[Change]:
        """Compare what is allowed beyond the named: anything without the keyword and with true, nothing with false."""
        one, other = old.child(name), new.child(name)
        first, second = (True if each is None or each.value == {} else each.value for each in (one, other))
        if one is not None and other is not None and isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from self.differences(at, one, other)
        elif first is not second:
            opened = second is True or first is False
            yield Change(at, f"{name}-{'opened' if opened else 'closed'}", first, second, breaking=not opened)

    def _branches(self, at: str, old: Followed, new: Followed, name: str) -> Iterator[Change]:
        first, second = old.listed(name), new.listed(name)
        for index, (one, other) in enumerate(zip(first, second, strict=False)):
            yield from self.differences(f"{at}/{index}", one, other)
        if len(first) == len(second):
            return
        grown = len(second) > len(first)
        # A further member of allOf is a further demand. A further alternative is none, unless there were none before,
        # or it is one of oneOf, which must not match beside another.
        breaking = grown if name == "allOf" else bool(second) and (not grown or not first or name == "oneOf")
        yield Change(at, f"{name}-{'added' if grown else 'removed'}", _values(first), _values(second), breaking)

    def _alike(self, old: Followed, new: Followed, name: str) -> bool:
        """Tell whether keywords are equal, and what they refer to as well."""
        if not equal(old.keywords.get(name), new.keywords.get(name)):
            return False
        pairs = zip(old.below(name), new.below(name), strict=True)
        return not [each for one, other in pairs for each in self.differences("", one, other)]


def _values(places: list[Place]) -> list[Any]:
    return [place.value for place in places]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
