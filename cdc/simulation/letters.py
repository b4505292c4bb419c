"""Owns what the simulated topics take, and the putting together of dead letters as a reader of their topic does it.

A letter counts when its last part is there with every other one before it; parts that a dead engine left behind are no
letter, and neither are those of a letter that never became whole.
"""

import json
from typing import Final

from cdc.letters.deadletters import PART, PLACE, PREFIX, REASON, TOPIC, Letters
from cdc.readback import Place
from cdc.records import Record
from cdc.simulation.due import AUDIT, DEAD, OUTBOX, RAW

POISON: Final = "\udcff"
"""A byte that is no UTF-8, as the decoder hands it on: no JSON document can hold it."""
LARGE: Final = ("x" * 500, "x" * 1600)
"""Texts that make a record larger than its topic takes; their letters have two and four parts."""
_RECORD_BYTES: Final = 600
_PART_BYTES: Final = 850

_TOPICS: Final = (RAW, AUDIT, OUTBOX)
LETTERS: Final = Letters(dict.fromkeys(_TOPICS, DEAD), {**dict.fromkeys(_TOPICS, _RECORD_BYTES), DEAD: _PART_BYTES})
NO_LETTERS: Final = Letters()


class BrokenLetterError(Exception):
    """A part whose letter cannot be put together."""


class Letterbox:
    """Put the letters of the dead-letter topic together, part by part as its partitions take them."""

    def __init__(self) -> None:
        self._begun: dict[tuple[Place, bytes], list[bytes]] = {}

    def take(self, place: Place, record: Record) -> bytes | None:
        """Take the next part in a partition; return reason, topic and content of the letter that it completes.

        Raises:
            BrokenLetterError: Parts are missing before this one.
        """
        headers = {name: content for name, content in record.headers if isinstance(content, bytes)}
        number, count = map(int, headers[PART].split(b"/"))
        name = (place, headers[PLACE])
        parts = self._begun.setdefault(name, [])
        if number == 1:
            # One that was cut off begins again.
            parts.clear()
        elif len(parts) != number - 1:
            raise BrokenLetterError(f"part {number} of {count} follows part {len(parts)}")
        parts.append(record.value or b"")
        if number < count:
            return None
        content = b"".join(self._begun.pop(name))
        spilt = sum(length for _, length in json.loads(headers.get(PREFIX, b"[]")))
        return b" ".join((headers[REASON], headers[TOPIC], content[spilt:]))
