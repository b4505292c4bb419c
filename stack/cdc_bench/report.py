"""Owns how the measurement is told: one table for drains, one for latencies, and the document of `--json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from stack.cdc_bench.figures import Percentiles
from stack.cdc_bench.outcome import Drain, Latency, Limit, Outcome, drain_median
from stack.cdc_bench.plan import Contender, Plan

_RATIO_PACE = "1000"
_TOLD = ("batch.size", "buffer.memory", "compression.type", "linger.ms", "max.in.flight.requests.per.connection")
_TOLD_GUARANTEES = ("acks", "enable.idempotence")


@dataclass(frozen=True, slots=True)
class CdcReport:
    """Say how the contenders compare; medians over the rounds.

    In `as_dict`, `ratio_vs_debezium` and `ratio_vs_limit` are the native engine's drain rate beside that of Debezium
    tuned and beside the walsender's, of the first shape; `ratios` has them for every shape, also over the second half
    of the records (`steady_vs_debezium`) and beside Debezium as shipped. `latency_ratio` is the 99th percentile of
    Debezium tuned divided by the native engine's, from the intended start, at 1,000 transactions a second.
    """

    plan: Plan
    outcomes: Mapping[Contender, Outcome]
    limits: Mapping[str, list[Limit]]

    @property
    def ok(self) -> bool:
        """Tell whether the native engine has lost, repeated and misplaced nothing; true where it took no part."""
        native = self.outcomes.get("native")
        return native is None or not any(native.total(name) for name in ("lost", "duplicates", "reordered"))

    def rate(self, contender: Contender, shape: str, figure: str = "rate") -> float | None:
        """Return a median of the drains; None where there is none."""
        outcome = self.outcomes.get(contender)
        return drain_median(outcome.drains[shape])[figure] if outcome and shape in outcome.drains else None

    def limit(self, shape: str) -> dict[str, float]:
        """Return the limits of one shape."""
        rounds = self.limits.get(shape, [])
        return {
            name: round(median(asdict(each)[name] for each in rounds)) for name in ("walsender", "broker") if rounds
        }

    def ratios(self, shape: str) -> dict[str, float | None]:
        """Return how the native engine compares in one shape."""
        native, limit = self.rate("native", shape), self.limit(shape)
        steady = self.rate("native", shape, "steady_rate")
        return {
            "vs_debezium": _share(native, self.rate("debezium", shape)),
            "vs_debezium_default": _share(native, self.rate("debezium_default", shape)),
            "steady_vs_debezium": _share(steady, self.rate("debezium", shape, "steady_rate")),
            "vs_limit": _share(native, limit.get("walsender")),
            "memory_vs_debezium": _share(
                self.rate("native", shape, "peak_rss_mb"), self.rate("debezium", shape, "peak_rss_mb")
            ),
            "cpu_vs_debezium": _share(
                self.rate("native", shape, "cpu_seconds_per_million"),
                self.rate("debezium", shape, "cpu_seconds_per_million"),
            ),
        }

    def latency(self, contender: Contender, pace: str) -> Percentiles | None:
        """Return the percentiles from the intended start at one pace."""
        outcome = self.outcomes.get(contender)
        rounds = outcome.latencies.get(pace, []) if outcome else []
        return Percentiles.median_of([each.from_intended for each in rounds]) if rounds else None

    def latency_ratio(self, pace: str) -> float | None:
        """Return the 99th percentile of Debezium tuned divided by the native engine's."""
        native, debezium = self.latency("native", pace), self.latency("debezium", pace)
        return _share(debezium.p99 if debezium else None, native.p99 if native else None)

    def as_dict(self) -> dict[str, object]:
        """Return the form that `--json` prints."""
        first = self.plan.shapes[0].name
        return {
            **{name: self._contender(outcome) for name, outcome in self.outcomes.items() if name != "limit"},
            "limit": {
                **self.limit(first),
                "latency_ms": self._floors(),
                "shapes": {name: {**self.limit(name), "rounds": [asdict(each) for each in rounds]}
                           for name, rounds in self.limits.items()},
            },
            "ratio_vs_debezium": self.ratios(first)["vs_debezium"],
            "ratio_vs_limit": self.ratios(first)["vs_limit"],
            "latency_ratio": self.latency_ratio(_RATIO_PACE),
            "ratios": {each.name: self.ratios(each.name) for each in self.plan.shapes},
            "latency_ratios": {each.name: self.latency_ratio(each.name) for each in self.plan.paces},
            "plan": asdict(self.plan),
            "ok": self.ok,
        }  # fmt: skip

    def _floors(self) -> dict[str, object]:
        found = self.outcomes["limit"].latencies if "limit" in self.outcomes else {}
        return {name: _latencies(rounds) for name, rounds in found.items()}

    def _contender(self, outcome: Outcome) -> dict[str, object]:
        first = outcome.drains.get(self.plan.shapes[0].name, [])
        return {
            **(drain_median(first) if first else {}),
            "shapes": {
                name: {**drain_median(rounds), "rounds": [asdict(each) for each in rounds]}
                for name, rounds in outcome.drains.items()
            },
            "latency_ms": {name: _latencies(rounds) for name, rounds in outcome.latencies.items()},
            "producer": {
                name: outcome.settings[name] for name in (*_TOLD_GUARANTEES, *_TOLD) if name in outcome.settings
            },
        }

    def show(self, console: Console) -> None:
        """Print the drains, the limits beside them, and the latencies."""
        for shape in self.plan.shapes:
            console.print(
                f"[bold]{shape.name}[/]: {shape.transactions:,} transactions of {shape.events}, "
                f"{self.plan.rounds} rounds, compression {self.plan.compression}"
            )
            console.print(self._drains(shape.name))
        if any(outcome.latencies for outcome in self.outcomes.values()):
            console.print(self._latencies())
        self._conclude(console)

    def _drains(self, shape: str) -> Table:
        table = _table("engine", "records/s", "second half", "start s", "CPU s/M", "sender s/M", "broker s/M",
                       "peak MB", "lost", "duplicates", "reordered", "others", "rounds")  # fmt: skip
        for name, outcome in self.outcomes.items():
            rounds = outcome.drains.get(shape, [])
            if rounds:
                table.add_row(name, *_drain_row(rounds))
        for part, rate in self.limit(shape).items():
            told = " ".join(f"{asdict(each)[part]:,}" for each in self.limits[shape])
            table.add_row(part, f"{rate:,}", *[""] * 10, told)
        return table

    def _latencies(self) -> Table:
        table = _table("engine", "intended/s", "reached/s", "late", "p50 ms", "p99 ms", "p99.9 ms",
                       "from commit: p50", "p99", "p99.9", "the commit: p50", "p99")  # fmt: skip
        for pace in self.plan.paces:
            for name, outcome in self.outcomes.items():
                rounds = outcome.latencies.get(pace.name, [])
                if rounds:
                    table.add_row(name, *_latency_row(rounds))
        return table

    def _conclude(self, console: Console) -> None:
        for shape in self.plan.shapes:
            told = ", ".join(f"{name} {value}" for name, value in self.ratios(shape.name).items() if value is not None)
            console.print(f"native, {shape.name}: {told or 'nothing to compare with'}")
        told = ", ".join(f"{each.name} {ratio}" for each in self.plan.paces if (ratio := self.latency_ratio(each.name)))
        if told:
            console.print(f"p99 of debezium divided by native's: {told}")


def _share(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else round(one / other, 3)


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _drain_row(rounds: list[Drain]) -> list[str]:
    middle = drain_median(rounds)
    names = ("rate", "steady_rate", "seconds_from_start", "cpu_seconds_per_million",
             "walsender_cpu_seconds_per_million", "broker_cpu_seconds_per_million", "peak_rss_mb",
             "lost", "duplicates", "reordered", "others_percent")  # fmt: skip
    return [*(_told(middle[name]) for name in names), " ".join(f"{each.rate:,}" for each in rounds)]


def _told(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.1f}"


def _latency_row(rounds: list[Latency]) -> list[str]:
    intended = Percentiles.median_of([each.from_intended for each in rounds])
    after = Percentiles.median_of([each.from_commit for each in rounds])
    commit = Percentiles.median_of([each.commit for each in rounds])
    reached = median(each.reached for each in rounds)
    times = (intended.p50, intended.p99, intended.p999, after.p50, after.p99, after.p999, commit.p50, commit.p99)
    late = sum(each.late for each in rounds) / sum(each.samples for each in rounds)
    return [f"{rounds[-1].rate:,}", f"{reached:,.0f}", f"{late:.1%}", *(f"{each:.2f}" for each in times)]


def _latencies(rounds: list[Latency]) -> dict[str, object]:
    kinds = ("from_intended", "from_commit", "commit", "to_append")
    return {
        "rate": median(each.rate for each in rounds),
        "reached": median(each.reached for each in rounds),
        "late": sum(each.late for each in rounds),
        "samples": sum(each.samples for each in rounds),
        **{kind: asdict(Percentiles.median_of([getattr(each, kind) for each in rounds])) for kind in kinds},
        "rounds": [asdict(each) for each in rounds],
    }
