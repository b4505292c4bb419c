"""Owns the verdict on a schedule: what the broker's partitions hold, against what is due in them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdc.readback import Place
from cdc.simulation.broker import Entry


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one schedule has shown."""

    lost: int = 0
    """Records and whole dead letters that never arrived, or that the server was allowed to forget before they had."""
    duplicates: int = 0
    """Those that are there once more than they are due, or are due nowhere."""
    reordered: int = 0
    """Partitions whose records are there in another order than their commits'."""
    failure: str | None = None
    """Why the engine did not come to the end by itself, if it did not."""

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return self == Verdict()


def judge(
    due: Iterable[tuple[Place, Entry]],
    delivered: Mapping[Place, Sequence[Entry]],
    *,
    forgotten: int,
    failure: str | None,
) -> Verdict:
    """Compare what is there with what is due.

    Args:
        due: In the order of commits.
        delivered: What each partition holds.
        forgotten: How many records the server may forget although the broker lacks them.
        failure: Why the engine did not come to the end.
    """
    expected: dict[Place, list[Entry]] = {}
    for place, entry in due:
        expected.setdefault(place, []).append(entry)
    if failure is None and not forgotten and expected == {place: held for place, held in delivered.items() if held}:
        return Verdict()
    lost = duplicates = reordered = 0
    for place in expected.keys() | delivered.keys():
        wanted, held = _named(expected.get(place, ())), _named(delivered.get(place, ()))
        missing, extra = Counter(wanted) - Counter(held), Counter(held) - Counter(wanted)
        duplicates += extra.total()
        lost += missing.total()
        reordered += _without(wanted, missing) != _without(held, extra)
    return Verdict(max(lost, forgotten), duplicates, reordered, failure)


def _named(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries with each tombstone named after the value of its key before it, to tell tombstones apart."""
    named: list[Entry] = []
    last: dict[bytes, bytes] = {}
    for key, value in entries:
        named.append((key, b"tombstone of " + last.get(key, b"") if value is None else value))
        last[key] = value or b""
    return named


def _without(entries: Sequence[Entry], surplus: Counter[Entry]) -> list[Entry]:
    """Return the entries without so many of each, the later ones left out."""
    keep = Counter(entries) - surplus
    kept = []
    for entry in entries:
        if keep[entry] > 0:
            keep[entry] -= 1
            kept.append(entry)
    return kept
