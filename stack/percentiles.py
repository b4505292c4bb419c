"""Owns the one way in which percentiles are taken here: by nearest rank, so that each is a time that was measured."""

from collections.abc import Sequence
from math import ceil
from typing import Final

SHARES: Final = {"p50": 0.5, "p99": 0.99, "max": 1.0}
"""What is told of most times, by name."""


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ordered values, of which there is one at least, that `share` of them do not exceed."""
    # Rounded first, because 0.99 * 100 is a little more than 99.
    return ordered[max(0, ceil(round(share * len(ordered), 6)) - 1)]


def p50_p99_max(values: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum of at least one value, to a hundredth."""
    ordered = sorted(values)
    return {name: round(nearest_rank(ordered, share), 2) for name, share in SHARES.items()}
