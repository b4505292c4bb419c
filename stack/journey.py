"""Owns what the demonstration found out: the journey of each event, the counts, and how they are printed."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from stack.percentiles import p50_p99_max
from stack.routes import RAW_TOPIC
from stack.sightings import Sighting

Sightings = dict[str, list[Sighting]]

HOPS = ("post", "raw_topic", "filtered_topic", "consumer")


@dataclass(slots=True)
class Journey:
    """Follow one event; times are `time.perf_counter()` seconds."""

    event_id: str
    event_type: str
    topic: str
    sent: float = 0.0
    answered: float = 0.0
    status: int = 0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Hold what the demonstration found; `hops_ms` counts each hop from the moment the POST was sent."""

    events: int
    delivered: int
    missing: tuple[str, ...]
    duplicates: tuple[str, ...]
    refused: tuple[str, ...]
    hops_ms: dict[str, dict[str, float]]
    topics: dict[str, int]
    first: tuple[tuple[str, float, str], ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Tell whether every event arrived exactly once."""
        return self.delivered == self.events > 0 and not (self.missing or self.duplicates or self.refused)

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {
            "events": self.events,
            "delivered": self.delivered,
            "missing": list(self.missing),
            "duplicates": list(self.duplicates),
            "refused": list(self.refused),
            "hops_ms": self.hops_ms,
            "topics": self.topics,
            "ok": self.ok,
        }

    def show(self, console: Console) -> None:
        """Print one event's journey, the time of each hop over all events, and a count per topic."""
        console.print("\n[bold]One event, hop by hop[/]")
        for place, milliseconds, detail in self.first:
            console.print(f"  {milliseconds:8.1f} ms  {place:<24} [dim]{detail}[/]", soft_wrap=True)
        table = Table(title="\nMilliseconds from POST to …", title_justify="left", box=None, padding=(0, 3, 0, 2))
        table.add_column("hop")
        for heading in ("p50", "p99", "max"):
            table.add_column(heading, justify="right")
        for hop, row in self.hops_ms.items():
            table.add_row(hop.replace("_", " "), *(f"{row[name]:.1f}" for name in ("p50", "p99", "max")))
        console.print(table)
        counts = Table(title="\nEvents per topic", title_justify="left", box=None, padding=(0, 3, 0, 2))
        counts.add_column("topic")
        counts.add_column("events", justify="right")
        for topic, number in self.topics.items():
            counts.add_row(topic, str(number))
        console.print(counts)
        for label in ("missing", "duplicates", "refused"):
            if ids := getattr(self, label):
                console.print(f"[red]{label}:[/] {', '.join(ids[:10])}{' …' if len(ids) > 10 else ''}")
        verdict = (
            "[green]✓ every event arrived exactly once[/]"
            if self.ok
            else "[red]✗ not every event arrived exactly once[/]"
        )
        console.print(f"\n{verdict} ({self.delivered} of {self.events})")


def summarise(
    journeys: list[Journey],
    raw: Sightings,
    filtered: Sightings,
    handled: dict[str, list[float]],
    *,
    timed: list[Journey],
) -> DemoResult:
    """Compare what was posted with what was seen in the raw topic, in the filtered topics and by the consumers."""
    accepted = [journey for journey in journeys if journey.status == httpx.codes.OK]

    def arrived(journey: Journey) -> bool:
        right_topic = any(seen.topic == journey.topic for seen in filtered.get(journey.event_id, ()))
        return right_topic and journey.event_id in raw and journey.event_id in handled

    def repeated(journey: Journey) -> bool:
        places = (raw.get(journey.event_id, ()), filtered.get(journey.event_id, ()), handled.get(journey.event_id, ()))
        return any(len(place) > 1 for place in places)

    times: dict[str, list[float]] = {hop: [] for hop in HOPS}
    for journey in filter(arrived, timed):
        event_id = journey.event_id
        ends = _arrivals(event_id, raw, filtered, handled)
        for hop, end in zip(HOPS, (journey.answered, *ends), strict=True):
            times[hop].append((end - journey.sent) * 1000)
    delivered = [journey for journey in accepted if arrived(journey)]
    return DemoResult(
        events=len(journeys),
        delivered=len(delivered),
        missing=tuple(journey.event_id for journey in accepted if not arrived(journey)),
        duplicates=tuple(journey.event_id for journey in accepted if repeated(journey)),
        refused=tuple(journey.event_id for journey in journeys if journey.status != httpx.codes.OK),
        hops_ms={hop: p50_p99_max(values) for hop, values in times.items() if values},
        topics={RAW_TOPIC: len(raw.keys() & {journey.event_id for journey in journeys})}
        | dict(sorted(Counter(journey.topic for journey in delivered).items())),
        first=_first_journey(delivered[-1], raw, filtered, handled) if delivered else (),
    )


def _arrivals(
    event_id: str, raw: Sightings, filtered: Sightings, handled: dict[str, list[float]]
) -> tuple[float, float, float]:
    """Return when the event was in the raw topic, in its filtered topic and with its consumer.

    Watchers and consumers read side by side, each with its own delay; what one of them had seen was in the topics
    before it by then.
    """
    consumed = handled[event_id][0]
    routed = min(filtered[event_id][0].at, consumed)
    return min(raw[event_id][0].at, routed), routed, consumed


def _first_journey(
    journey: Journey,
    raw: Sightings,
    filtered: Sightings,
    handled: dict[str, list[float]],
) -> tuple[tuple[str, float, str], ...]:
    in_raw, in_filtered = raw[journey.event_id][0], filtered[journey.event_id][0]
    captured, routed, consumed = _arrivals(journey.event_id, raw, filtered, handled)

    def since(moment: float) -> float:
        return (moment - journey.sent) * 1000

    def place(sighting: Sighting) -> str:
        return f"{sighting.topic} partition {sighting.partition} offset {sighting.offset}"

    return (
        ("POST /api/v1/events", 0.0, f"{journey.event_type} {journey.event_id}"),
        (
            "committed, answered 200",
            since(journey.answered),
            "business_events, event_headers, entities: one transaction",
        ),
        ("WAL → Kafka", since(captured), place(in_raw)),
        ("Flink SQL filter", since(routed), place(in_filtered)),
        ("consumer", since(consumed), "handled"),
    )
