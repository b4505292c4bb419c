"""Owns how keys are spread over shards and partitions: evenly, or with a skew by Zipf's law. Pure functions."""

from functools import lru_cache
from random import Random
from typing import Final

KEYS: Final = 10_000
"""Keys that changes are spread over where there is a skew. An event of the pipeline has a key of its own: no skew."""


@lru_cache(maxsize=256)
def shares(buckets: int, skew: float = 0.0, salt: str = "") -> tuple[float, ...]:
    """Return which share of the changes each bucket gets; together 1.

    Args:
        buckets: Shards, or groups of partitions.
        skew: The exponent of Zipf's law over `KEYS` keys that are hashed to the buckets; 0 for a key for each change.
        salt: Tells one hash from another: a key's shard says nothing about its partition.

    Raises:
        ValueError: No bucket, or a negative skew.
    """
    if buckets < 1 or skew < 0:
        message = f"expected buckets and no negative skew, not {buckets} and {skew}"
        raise ValueError(message)
    if skew == 0:
        return (1 / buckets,) * buckets
    hashed = Random(f"{salt}/{buckets}")  # noqa: S311 - a repeatable stand-in for a hash
    found = [0.0] * buckets
    total = 0.0
    for rank in range(1, KEYS + 1):
        weight = rank**-skew
        found[hashed.randrange(buckets)] += weight
        total += weight
    return tuple(weight / total for weight in found)


@lru_cache(maxsize=4096)
def grouped(buckets: tuple[float, ...], readers: int) -> tuple[float, ...]:
    """Return the share of each of so many readers that deal the buckets out in turn, as consumers do partitions."""
    return tuple(sum(buckets[reader::readers]) for reader in range(readers))
