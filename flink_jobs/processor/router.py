"""Owns what becomes of a batch of raw records: which outputs it gives under one set of filters, and the counts of it.

Pure: records in, records out. A record is tested against the filters of its value, as the Flink job does; what a filter
means is `evaluator`'s to say. Must never know Kafka.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from flink_jobs.columns import TEXT_COLUMNS
from flink_jobs.evaluator import Record, evaluate
from flink_jobs.filters import Filter, FilterSet
from flink_jobs.processor.parsing import Fault, parse
from flink_jobs.processor.records import Output, RawRecord, dead_letter, filtered
from flink_jobs.routing import route

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Topics:
    """Name what is read, where it cannot be, and the mark of this processor on every other topic."""

    raw: str = "raw-event-headers"
    dead_letters: str = "dlq-raw-event-headers-spring"
    suffix: str = "-spring"


@dataclass(slots=True)
class Outcome:
    """Hold what a batch gives, and what came of its records.

    Attributes:
        outputs: The records to write, in the order of the batch.
        received: Records read, tombstones among them.
        dropped: Records that no filter takes, tombstones among them.
        dead: Records that could not be read, or that a filter could not be evaluated on.
        matched: Records by the id of the filter that took them.
    """

    outputs: list[Output] = field(default_factory=list)
    received: int = 0
    dropped: int = 0
    dead: int = 0
    matched: Counter[str] = field(default_factory=Counter)


class Router:
    """Apply one set of filters.

    Args:
        filters: The set; only what is for the target `spring`, enabled and not gone has a part in it (FL-32).
        topics: The names to read and write.
    """

    def __init__(self, filters: FilterSet, topics: Topics) -> None:
        self.filters = filters
        self.active = tuple(each for each in filters.filters if each.runs_on("spring"))
        self._topics = topics
        self._routing = route(self.active)

    @property
    def topics(self) -> tuple[str, ...]:
        """Return every topic that this set may write to."""
        names = (each.output_topic + self._topics.suffix for each in self.active)
        return tuple(dict.fromkeys((*names, self._topics.dead_letters)))

    def outcome(self, batch: Sequence[RawRecord]) -> Outcome:
        """Return what becomes of a batch."""
        result = Outcome(received=len(batch))
        for raw in batch:
            # A null value is a tombstone: it says that a header is gone, and routes nowhere (CD-48, CD-120).
            if raw.value is None:
                result.dropped += 1
                continue
            try:
                record = parse(raw.value)
            except Fault as fault:
                result.dead += 1
                result.outputs.append(dead_letter(self._topics.dead_letters, self._topics.raw, raw, str(fault)))
                continue
            try:
                takers = list(self._takers(record))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this record's
                # Not to be expected; and then one record must neither be lost nor hold up all others.
                reason = f"a filter cannot be evaluated: {type(error).__name__}: {error}"
                _log.exception("record_refused", partition=raw.partition, offset=raw.offset)
                result.dead += 1
                result.outputs.append(dead_letter(self._topics.dead_letters, self._topics.raw, raw, reason))
                continue
            for group in takers:
                result.outputs.append(filtered(group[0].output_topic + self._topics.suffix, record))
                result.matched.update(each.id for each in group)
            result.dropped += not takers
        return result

    def _takers(self, record: Record) -> Iterator[tuple[Filter, ...]]:
        """Yield the filters that take a record, those of one topic together, so that it gets the record once."""
        texts = {name: None if (text := record[name]) is None else str(text) for name in TEXT_COLUMNS}
        for group in self._routing.candidates(texts):
            if evaluate(group.filters[0], record) is True:
                yield group.filters
