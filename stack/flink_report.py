"""Owns what the measurement of the Flink job has found out: rates, losses, repetitions, and how they are printed.

Must never know Kafka or Flink.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table

from flink_jobs.sql import Statement
from stack.flink_backlog import CYCLE, Route


@dataclass(slots=True)
class Variant:
    """Hold one job of the comparison and what its rounds have shown.

    Attributes:
        name: As it is reported.
        routes: Its topics, and which records belong in each.
        parts: Its SQL.
        rates: Records read a second, for each round.
        processor_us: Microseconds of the TaskManager's processor time for each record read, for each round, its start
            included.
        lost: Records that were not where they belong, over all rounds.
        duplicates: Records that were there more than once, or where they do not belong.
    """

    name: str
    routes: tuple[Route, ...]
    parts: tuple[Statement, ...]
    rates: list[int] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)
    lost: int = 0
    duplicates: int = 0

    @property
    def suffix(self) -> str:
        """Return what its topics end with."""
        return f"-{self.name}"

    @property
    def topics(self) -> list[str]:
        """Return its topics in the order of its routes."""
        return [route.topic + self.suffix for route in self.routes]

    @property
    def rate(self) -> int:
        """Return the median of its rounds."""
        return round(median(self.rates))


@dataclass(frozen=True, slots=True)
class FlinkReport:
    """Say how fast each job was, and what it lost or wrote twice."""

    records: int
    variants: tuple[Variant, ...]

    @property
    def ok(self) -> bool:
        """Tell whether every record was once where it belongs, in every round."""
        return not any(each.lost or each.duplicates for each in self.variants)

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        copy, four, hundred = (each.rate for each in self.variants)
        return {
            **{each.name: each.rate for each in self.variants},
            "filters_4_of_passthrough": round(four / copy, 2),
            "filters_100_of_filters_4": round(hundred / four, 2),
            "records": self.records,
            "rounds": {each.name: each.rates for each in self.variants},
            "processor_us": {each.name: median(each.processor_us) for each in self.variants},
            "lost": {each.name: each.lost for each in self.variants},
            "duplicates": {each.name: each.duplicates for each in self.variants},
            "ok": self.ok,
        }

    def show(self, console: Console) -> None:
        """Print one line for each job."""
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("job")
        for heading in ("records/s", "of passthrough", "processor µs", "lost", "duplicates", "rounds"):
            table.add_column(heading, justify="right")
        copy = self.variants[0].rate
        for each in self.variants:
            rounds = " ".join(f"{rate:,}" for rate in each.rates)
            share = f"{each.rate / copy:.2f}"
            table.add_row(
                each.name,
                f"{each.rate:,}",
                share,
                f"{median(each.processor_us)}",
                str(each.lost),
                str(each.duplicates),
                rounds,
            )
        console.print(table)


class Found:
    """Count how often each record was found in each topic, and when the first and the last were written."""

    def __init__(self, counts: list[bytearray]) -> None:
        self.counts = counts
        self.first_ms = 2**63
        self.last_ms = 0

    def note(self, topic: int, number: int, at_ms: int) -> None:
        """Count one record."""
        self.counts[topic][number] += 1
        self.first_ms, self.last_ms = min(self.first_ms, at_ms), max(self.last_ms, at_ms)


def compare(variant: Variant, wanted: Sequence[Sequence[int]], found: Found) -> None:
    """Add to a variant what one turn has lost and what it has too much.

    Args:
        variant: Whose turn.
        wanted: For each place in the cycle, the topics of its records by their places.
        found: What was there.
    """
    for topic, counts in enumerate(found.counts):
        for place in range(CYCLE):
            here = counts[place::CYCLE]
            should = topic in wanted[place]
            missing = here.count(0) if should else len(here)
            variant.lost += missing if should else 0
            variant.duplicates += sum(here) - (len(here) - missing)
