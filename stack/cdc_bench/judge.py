"""Owns the verdict on a topic: what is lost, repeated or out of order, by the ids that the database has committed."""

from collections import defaultdict
from collections.abc import Iterable

import orjson


def identity(key: bytes) -> str:
    """Return the id that a record's key names."""
    return str(orjson.loads(key)["id"])


class Judge:
    """Compare the records of one topic with the rows of the database.

    One client's transactions commit in the order of their numbers, so within a partition its records must stand in that
    order: more than the order of each key.

    Args:
        committed: The id of every row.
    """

    def __init__(self, committed: Iterable[str]) -> None:
        self._seen = dict.fromkeys(committed, 0)
        self._last: dict[tuple[int, str, str], tuple[int, int]] = {}
        self.times: dict[str, list[int]] = defaultdict(list)
        """When the broker stored the records of each run, in milliseconds since the epoch."""
        self.stored: dict[str, int] = {}
        """When it stored each record first."""
        self.reordered = 0
        self.astray = 0
        """Records of rows that were never committed."""

    def note(self, partition: int, key: bytes, at_ms: int) -> None:
        """Take one record, in the order of its partition."""
        name = identity(key)
        if name not in self._seen:
            self.astray += 1
            return
        self._seen[name] += 1
        if self._seen[name] > 1:
            return
        run, client, number, event = name.split("-")
        self.times[run].append(at_ms)
        self.stored[name] = at_ms
        stream, place = (partition, run, client), (int(number), int(event))
        if place < self._last.get(stream, (0, 0)):
            self.reordered += 1
        else:
            self._last[stream] = place

    @property
    def lost(self) -> int:
        """Return how many rows have no record."""
        return sum(count == 0 for count in self._seen.values())

    @property
    def duplicates(self) -> int:
        """Return how many records are one too many."""
        return self.astray + sum(count - 1 for count in self._seen.values() if count > 1)
