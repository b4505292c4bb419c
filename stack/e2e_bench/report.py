"""Owns what the measurement of the whole way has found out: percentiles of each hop, losses, and how they are printed.

Must never know Kafka or HTTP.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from stack.e2e_bench.sender import Posted
from stack.percentiles import SHARES, p50_p99_max
from stack.routes import RAW_TOPIC

HOPS: Final = ("post", "raw_topic", "filtered_topic")
"""The answer to the POST, which comes after the commit; readable in the raw topic; readable in the filtered topic."""


@dataclass(slots=True)
class RateFound:
    """Hold what the rounds at one rate have shown; times in milliseconds from when an event was due.

    Attributes:
        rate: Events a second that were due.
        events: How many were posted in all rounds.
        rounds: For each round, hop and percentile.
        reached: Events a second that were answered, for each round.
        processor_us: Microseconds of processor time for each event, by part of the pipeline, for each round.
        lost: Records of stored events that are missing from the raw topic or from the filtered topic of their type.
        duplicates: Records that came out once too often.
        refused: Events that the producer did not take.
    """

    rate: float
    events: int = 0
    rounds: list[dict[str, dict[str, float]]] = field(default_factory=list)
    reached: list[float] = field(default_factory=list)
    processor_us: list[dict[str, float]] = field(default_factory=list)
    lost: int = 0
    duplicates: int = 0
    refused: int = 0

    def note(
        self,
        posted: Sequence[Posted],
        seen: Iterable[tuple[str, str, float]],
        routes: Mapping[str, str],
        *,
        timed: bool = True,
    ) -> None:
        """Add a round.

        Args:
            posted: What was sent.
            seen: Topic, key and moment of each record.
            routes: The filtered topic of each event type.
            timed: Whether it counts for the times; what is lost or repeated always counts.
        """
        records: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for topic, key, at in seen:
            records[_event_id(topic, key)][topic].append(at)
        stored = [each for each in posted if each.status == HTTPStatus.OK]
        times: dict[str, list[float]] = {hop: [] for hop in HOPS}
        for each in stored:
            found = records.pop(each.event_id, {})
            wanted = (RAW_TOPIC, routes[each.event_type])
            # What one place has too much, another too little: each record is judged by itself.
            self.duplicates += sum(len(at) - (topic in wanted) for topic, at in found.items())
            if missing := [topic for topic in wanted if topic not in found]:
                self.lost += len(missing)
                continue
            ends = (each.answered, *(found[topic][0] for topic in wanted))
            # A fetch holds topics in any order: what came out of the pipeline was in the raw topic before.
            for hop, end in zip(HOPS, (ends[0], min(ends[1:]), ends[2]), strict=True):
                times[hop].append((end - each.due) * 1000)
        self.events += len(posted)
        self.refused += len(posted) - len(stored)
        if timed and times["post"]:
            self.rounds.append({hop: p50_p99_max(values) for hop, values in times.items()})
            took = max(each.answered for each in stored) - posted[0].due
            self.reached.append(round(len(stored) / took, 1))

    @property
    def hops_ms(self) -> dict[str, dict[str, float]]:
        """Return the median of the rounds for each hop and percentile."""
        return {
            hop: {share: round(median(each[hop][share] for each in self.rounds), 2) for share in SHARES}
            for hop in (HOPS if self.rounds else ())
        }

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        hops = self.hops_ms
        parts = dict.fromkeys(name for each in self.processor_us for name in each)
        return {
            "rate": self.rate,
            "p50_ms": hops["filtered_topic"]["p50"] if hops else None,
            "p99_ms": hops["filtered_topic"]["p99"] if hops else None,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "events": self.events,
            "reached_rate": median(self.reached) if self.reached else None,
            "hops_ms": hops,
            "rounds": self.rounds,
            "processor_us": {name: round(median(each.get(name, 0.0) for each in self.processor_us)) for name in parts},
        }


def _event_id(topic: str, key: str) -> str:
    """Return the event's id: the key of a raw record is a document (CD-41), that of a filtered one the id itself."""
    return str(json.loads(key)["id"]) if topic == RAW_TOPIC else key


@dataclass(frozen=True, slots=True)
class EndToEndReport:
    """Say how long events took at each rate, and what became of those that warmed the parts up."""

    rates: tuple[RateFound, ...]
    warm_up: RateFound

    @property
    def ok(self) -> bool:
        """Tell whether every event came out once, at every rate and before."""
        found = (*self.rates, self.warm_up)
        return all(each.rounds for each in self.rates) and not any(
            each.lost or each.duplicates or each.refused for each in found
        )

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints: the fields of a single rate stand at the top, too."""
        rates = [each.as_dict() for each in self.rates]
        warm_up = {name: getattr(self.warm_up, name) for name in ("rate", "events", "lost", "duplicates", "refused")}
        return {**(rates[0] if len(rates) == 1 else {}), "rates": rates, "warm_up": warm_up, "ok": self.ok}

    def show(self, console: Console) -> None:
        """Print one line for each rate and hop."""
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("events/s", justify="right")
        table.add_column("from due to")
        for heading in ("p50 ms", "p99 ms", "max ms", "events", "lost", "duplicates", "rounds p50 / p99"):
            table.add_column(heading, justify="right")
        for each in self.rates:
            for hop, row in each.hops_ms.items():
                counts = (each.events, each.lost, each.duplicates) if hop == HOPS[-1] else ("", "", "")
                rounds = ", ".join(f"{one[hop]['p50']:.1f} / {one[hop]['p99']:.1f}" for one in each.rounds)
                name = hop.replace("_", " ").replace("post", "answer")
                times = (f"{row[share]:.1f}" for share in SHARES)
                table.add_row(f"{each.rate:g}", name, *times, *map(str, counts), rounds)
        console.print(table)
        for each in self.rates:
            spent = each.as_dict()["processor_us"]
            if isinstance(spent, dict) and spent:
                parts = ", ".join(f"{name} {us}" for name, us in spent.items())
                console.print(f"{each.rate:g} events/s, processor µs an event: {parts}", style="dim")
