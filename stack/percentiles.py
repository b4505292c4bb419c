"""Owns the one way in which percentiles are taken here: by nearest rank, so that each is a time that was measured."""

from collections.abc import Sequence
from math import ceil


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ordered values, of which there is one at least, that `share` of them do not exceed."""
    # Rounded first, because 0.99 * 100 is a little more than 99.
    return ordered[max(0, ceil(round(share * len(ordered), 6)) - 1)]
