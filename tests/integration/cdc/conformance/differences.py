"""Owns the list of differences: what its table says, and which entry covers a difference.

The table stands in docs/conformance.md, where people read it; the test reads the same one. Each entry says where it
holds (tables, operations, part, columns or types) and what either engine gives there: a JSON value, several of them,
or the name of a rule (`rules`) that its value must meet.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.integration.cdc.conformance.comparison import MISSING, Difference
from tests.integration.cdc.conformance.rules import meets

LIST: Final = Path(__file__).resolve().parents[4] / "docs" / "conformance.md"
_ROW: Final = re.compile(r"^\| `([a-z0-9-]+)` \|(.*)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One way in which the records differ by design."""

    name: str
    tables: frozenset[str]
    operations: frozenset[str]
    parts: frozenset[str]
    fields: frozenset[str]
    theirs: str
    ours: str
    reason: str

    def covers(self, difference: Difference) -> bool:
        """Say whether the difference is of this entry: where it holds, and as it says."""
        here = (
            _among(difference.table, self.tables)
            and _among(difference.operation, self.operations)
            and _among(difference.part, self.parts)
            and (_among(difference.field, self.fields) or f"type {difference.type}" in self.fields)
        )
        return here and self._agrees(difference)

    def _agrees(self, difference: Difference) -> bool:
        theirs, ours = _values(self.theirs), _values(self.ours)
        if theirs and ours and len(theirs) == len(ours):
            # Several values on both sides are pairs.
            return any(
                _same(difference.theirs, a) and _same(difference.ours, b) for a, b in zip(theirs, ours, strict=True)
            )
        return all(
            any(_same(value, each) for each in wanted) if wanted else meets(cell, value, difference)
            for cell, wanted, value in ((self.theirs, theirs, difference.theirs), (self.ours, ours, difference.ours))
        )


@dataclass(frozen=True)
class Verdict:
    """What a list and the observed differences have to do with each other."""

    uncovered: Sequence[Difference]
    """Differences without an entry."""
    disputed: Sequence[tuple[Difference, tuple[str, ...]]]
    """Differences with several entries."""
    unobserved: Sequence[str]
    """Entries without a difference."""

    @property
    def holds(self) -> bool:
        """Whether each difference has exactly one entry, and each entry a difference."""
        return not (self.uncovered or self.disputed or self.unobserved)


def read_list(text: str) -> tuple[Entry, ...]:
    """Return the entries of the table in a Markdown text."""
    entries = []
    for name, rest in _ROW.findall(text):
        tables, operations, parts, fields, theirs, ours, reason = (cell.strip() for cell in rest.split("|"))
        entries.append(
            Entry(
                name,
                _names(tables),
                _names(operations),
                _names(parts),
                _names(fields),
                theirs,
                ours,
                reason,
            )
        )
    return tuple(entries)


def judge(entries: Sequence[Entry], differences: Iterable[Difference]) -> Verdict:
    """Hold a list against what was observed."""
    uncovered, disputed, seen = [], [], set()
    for each in differences:
        names = tuple(entry.name for entry in entries if entry.covers(each))
        seen.update(names)
        if not names:
            uncovered.append(each)
        elif len(names) > 1:
            disputed.append((each, names))
    return Verdict(uncovered, disputed, [entry.name for entry in entries if entry.name not in seen])


def _names(cell: str) -> frozenset[str]:
    """Return what a cell lists: names in backticks or bare ones, separated by commas; `any` is whatever there is."""
    return frozenset(each.strip().replace("`", "") for each in cell.split(","))


def _among(name: str, names: frozenset[str]) -> bool:
    return "any" in names or name in names


def _values(cell: str) -> list[Any]:
    """Return the values of a cell whose whole text is values in backticks, with ` or ` between them."""
    parts = cell.split(" or ")
    if not all(re.fullmatch(r"`.+`|missing", part) for part in parts):
        return []
    return [MISSING if part == "missing" else json.loads(part[1:-1]) for part in parts]


def _same(one: Any, other: Any) -> bool:
    return one is other if MISSING in (one, other) else bool(one == other and type(one) is type(other))
