"""Owns what a change from one JSON Schema to another breaks: every difference that matters, each judged by one rule.

A change is breaking when documents that the old schema takes may be refused by the new one, and, by the contract, also
when a type changes in any way or a required property goes. Both sides are followed through their references, across
documents too, and a place that refers to itself is compared once. Must never validate a document. Facts: FL-130 to
FL-134 of the contract; JSON Schema 2020-12.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.facets import changed_facets
from schemas.references import Place, Unresolvable

__all__ = ["Change", "Comparison", "Unresolvable", "compare"]

_FORBIDDEN: Final = "additionalProperties"
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
_OPAQUE: Final = ("not", "if", "then", "else", "dependentSchemas", "dependentRequired", "contains", "propertyNames",
                  "patternProperties", "unevaluatedProperties", "unevaluatedItems", "dependencies")  # fmt: skip
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
        Unresolvable: A reference leads nowhere.
    """
    return Comparison(tuple(_Walk().differences("", old, new)))


@dataclass(slots=True)
class _Walk:
    """Go through two schemas side by side, each pair of places once."""

    seen: set[tuple[str, str]] = field(default_factory=set)

    def differences(self, at: str, old: Place, new: Place) -> Iterator[Change]:
        """Yield what differs between two places and below them."""
        old, new = old.followed(), new.followed()
        pair = (old.name, new.name)
        if pair in self.seen:
            return
        self.seen.add(pair)
        before, after = old.keywords, new.keywords
        if before is None or after is None:
            yield from _between_nothing(at, before, after)
            return
        for name, kind, breaking in changed_facets(before, after):
            yield Change(f"{at}/{_escaped(name)}", kind, before.get(name), after.get(name), breaking)
        yield from self._properties(at, old, new)
        yield from self._extra(at, old, new)
        yield from self._items(at, old, new)
        for name in _BRANCHES:
            yield from self._branches(f"{at}/{name}", name, old, new)
        for name in _OPAQUE:
            if before.get(name) != after.get(name) or not self._same(old, new, name):
                yield Change(f"{at}/{name}", f"{name}-changed", before.get(name), after.get(name), breaking=True)

    def _properties(self, at: str, old: Place, new: Place) -> Iterator[Change]:
        before, after = old.named("properties"), new.named("properties")
        required, demanded = old.names("required"), new.names("required")
        for name in dict.fromkeys((*before, *after, *required, *demanded)):
            place = f"{at}/properties/{_escaped(name)}"
            first, second = (sides[name].value if name in sides else None for sides in (before, after))
            if name in demanded and name not in required:
                known = name in before
                yield Change(place, "required-tightened" if known else "required-added", first, second, breaking=True)
            elif name in required and name in before and name not in after:
                yield Change(place, "required-removed", first, None, breaking=True)
            elif name in required and name not in demanded:
                yield Change(place, "required-relaxed", first, second, breaking=False)
            elif name in before and name not in after:
                # Documents that have it are taken all the same, unless extra keys are forbidden (FL-132).
                closed = new.child(_FORBIDDEN) is not None and new.keyword(_FORBIDDEN) is False
                yield Change(place, "property-removed", first, None, breaking=closed)
            elif name in after and name not in before:
                yield Change(place, "property-added", None, second, breaking=False)
            if name in before and name in after:
                yield from self.differences(place, before[name], after[name])

    def _extra(self, at: str, old: Place, new: Place) -> Iterator[Change]:
        yield from self._allowance(f"{at}/{_FORBIDDEN}", old.child(_FORBIDDEN), new.child(_FORBIDDEN))

    def _items(self, at: str, old: Place, new: Place) -> Iterator[Change]:
        first, second = old.listed("prefixItems"), new.listed("prefixItems")
        for index, (one, other) in enumerate(zip(first, second, strict=False)):
            yield from self.differences(f"{at}/prefixItems/{index}", one, other)
        if len(first) != len(second):
            place = f"{at}/prefixItems"
            before, after = [each.value for each in first], [each.value for each in second]
            yield Change(place, "prefixItems-changed", before, after, breaking=True)
        yield from self._allowance(f"{at}/items", old.child("items"), new.child("items"))

    def _allowance(self, at: str, old: Place | None, new: Place | None) -> Iterator[Change]:
        """Compare schemas of which none, and True, allow everything, and False allows nothing."""
        first, second = (True if each is None else each.value for each in (old, new))
        if isinstance(first, Mapping) and isinstance(second, Mapping) and old is not None and new is not None:
            yield from self.differences(at, old, new)
        elif first != second:
            opened = second is True or second == {} or first is False
            if (first is True and second == {}) or (first == {} and second is True):
                return
            name = at.rsplit("/", 1)[1]
            yield Change(at, f"{name}-{'opened' if opened else 'closed'}", first, second, breaking=not opened)

    def _branches(self, at: str, name: str, old: Place, new: Place) -> Iterator[Change]:
        first, second = old.listed(name), new.listed(name)
        for index, (one, other) in enumerate(zip(first, second, strict=False)):
            yield from self.differences(f"{at}/{index}", one, other)
        if len(first) == len(second):
            return
        grown = len(second) > len(first)
        if name == "allOf":
            # One more demand tightens, one fewer relaxes.
            breaking = grown
        else:
            # An alternative more relaxes; the first ones tighten, and so may one more that must not match beside another.
            breaking = not second or not grown or not first or name == "oneOf"
            breaking = breaking and bool(second)
        kind = f"{name}-{'added' if grown else 'removed'}"
        yield Change(at, kind, [each.value for each in first], [each.value for each in second], breaking)

    def _same(self, old: Place, new: Place, name: str) -> bool:
        """Tell whether what equal keywords refer to is equal as well."""
        first, second = old.below(name), new.below(name)
        return not any(True for one, other in zip(first, second, strict=True) for _ in self.differences("", one, other))


def _between_nothing(at: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Change]:
    """Compare where one side is the schema false, which takes nothing."""
    if before is not None:
        yield Change(at, "schema-closed", before, False, breaking=True)
    elif after is not None:
        yield Change(at, "schema-opened", False, after, breaking=False)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
