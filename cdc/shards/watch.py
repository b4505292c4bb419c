"""Owns what several shards say as one engine: whether it is ready, how far it lags, and every figure with its shard."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cdc.lsn import format_lsn, parse_lsn
from cdc.shards.names import Part

_SILENT: Final = "it does not answer"
_LARGEST: Final = ("lag_bytes", "lag_seconds", "retained_wal_bytes")


class Answer(Protocol):
    """What a shard says of itself."""

    @property
    def summary(self) -> dict[str, Any]:
        """As `Monitor.summary` gives it."""

    @property
    def exposition(self) -> bytes:
        """As `Monitor.exposition` gives it."""


Answers: TypeAlias = Mapping[Part, Answer | None]


class Together:
    """Watch the shards: what `cdc.watch.endpoint` serves for them."""

    def __init__(self) -> None:
        """Begin without shards."""
        self.phase = "opening"
        """What is going on where that is no shard's: a change of their number."""
        self.ask: Callable[[], Answers] = dict

    def summary(self) -> dict[str, Any]:
        """Return where the engine stands, in the form of a single one; each shard's own is under `shards`."""
        return summarize(self.phase, self.ask())

    def exposition(self) -> bytes:
        """Return every figure of every shard in Prometheus's text format, with the label `shard`."""
        return merge(self.ask())


def summarize(phase: str, answers: Answers) -> dict[str, Any]:
    """Return one summary of several: ready and alive if all are, as far behind as the last one."""
    each = {part.label or "whole": None if answer is None else answer.summary for part, answer in answers.items()}
    there = [summary for summary in each.values() if summary is not None]
    ready = phase == "streaming" and bool(each) and all(one is not None and one["ready"] for one in each.values())
    # Between two generations there is no shard, and nothing is wrong.
    live = all(one is not None and one["live"] for one in each.values())
    faults = [
        f"shard {name}: {_SILENT if one is None else one['reason']}"
        for name, one in each.items()
        if one is None or not one["live" if not live else "ready"]
    ]
    phases = {one["phase"] for one in there}
    return {
        "phase": phases.pop() if phase == "streaming" and len(phases) == 1 else phase,
        "ready": ready,
        "live": live,
        "reason": "; ".join(faults) or phase,
        "confirmed_lsn": format_lsn(min((parse_lsn(one["confirmed_lsn"]) for one in there), default=0)),
        **{name: _most(there, name, max) for name in _LARGEST},
        "in_flight": sum(one["in_flight"] for one in there),
        "wal_seconds_left": _most(there, "wal_seconds_left", min),
        "shards": each,
    }


def merge(answers: Answers) -> bytes:
    """Return the expositions as one: each family once, each sample with its shard."""
    families: dict[str, Metric] = {}
    for part, answer in answers.items():
        text = "" if answer is None else answer.exposition.decode()
        for family in text_string_to_metric_families(text):
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                merged.add_sample(sample.name, {**sample.labels, "shard": str(part.index)}, sample.value)
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)


class _Families:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _most(summaries: Sequence[Mapping[str, Any]], name: str, choose: Callable[[list[float]], float]) -> float | None:
    known = [one[name] for one in summaries if one[name] is not None]
    return choose(known) if known else None
