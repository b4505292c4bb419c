"""Owns how plans and simulations are told: tables for a person, one document for a script. Must never compute."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from stack.scale.examining import Examination
from stack.scale.figures import Figures
from stack.scale.limits import Limit, Sizes, Workload, first
from stack.scale.needs import Needs, dollars, needs
from stack.scale.planner import Plan
from stack.scale.simulation import Outcome


def outcome_as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the form of one simulation that `--json` prints."""
    return {**_rounded(asdict(outcome)), "sustainable": outcome.sustainable}


def sizes_as_dict(sizes: Sizes, limits: Sequence[Limit]) -> dict[str, Any]:
    """Return sizes and their limits."""
    return {
        "sizes": asdict(sizes),
        "limits": [_rounded(asdict(limit)) for limit in limits],
        "first_limit": first(tuple(limits)).stage,
    }


def as_dict(each: Examination, figures: Figures) -> dict[str, Any]:
    """Return the form of an examined plan that `--json` prints."""
    made = each.plan
    less = None
    if each.less is not None:
        limit, sizes, outcome = each.less
        less = {"stage": limit.stage, "sizes": asdict(sizes), "simulated": outcome_as_dict(outcome)}
    return {
        "workload": asdict(made.workload),
        "headroom": made.headroom,
        "database": made.database,
        **sizes_as_dict(made.sizes, made.limits),
        "needs": needs(made, figures).as_dict(),
        "usd_month": dollars(made, figures),
        "usual": outcome_as_dict(each.usual),
        "peak_rate": round(made.peak),
        "peak": outcome_as_dict(each.peak),
        "one_less": less,
        "restart": outcome_as_dict(each.restart),
        "ok": each.ok,
    }


def show_plans(console: Console, examined: Sequence[Examination], figures: Figures) -> None:
    """Print the sizes, what is moved and kept, and the runs of several plans."""
    sizes = _table(
        "events/s", "primaries", "shards each", "partitions", "brokers", "task slots", "consumers", "$/month"
    )
    moved = _table("events/s", "WAL, each", "stored a day", "into brokers", "copied", "out of them", "kept in topics")
    runs = _table("events/s", "first limit", "p50, p99 ms", "at the peak", "one less of", "then", "catches up", "model")
    for each in examined:
        workload = each.plan.workload
        rate = f"{workload.rate:,.0f} by {workload.transaction_events}"
        sizes.add_row(rate, *_sizes(each.plan), f"{dollars(each.plan, figures)['total']:,}")
        moved.add_row(rate, *_moved(needs(each.plan, figures)))
        runs.add_row(rate, *_runs(each))
    for table in (sizes, moved, runs):
        console.print(table)
        if table is not runs:
            console.print()


def _sizes(made: Plan) -> tuple[str, ...]:
    sizes = made.sizes
    databases, brokers = f"{sizes.primaries} {made.database}", f"{sizes.brokers} {sizes.broker}"
    return databases, *map(str, (sizes.shards, sizes.partitions, brokers, sizes.task_slots, sizes.consumers))


def _moved(found: Needs) -> tuple[str, ...]:
    flows = (found.produced_mb, found.replicated_mb, found.consumed_mb)
    return (
        f"{found.wal_mb:,.0f} MB/s",
        f"{found.stored_day_gb:,.0f} GB",
        *(f"{flow:,.0f} MB/s" for flow in flows),
        f"{found.kept_gb:,.0f} GB",
    )


def _runs(each: Examination) -> tuple[str, ...]:
    limit = each.plan.first
    smaller = ("", "all at their smallest") if each.less is None else (each.less[0].stage, _verdict(each.less[2]))
    return (
        f"{limit.stage}, {limit.by} ({limit.utilisation:.0%})",
        f"{each.usual.p50_ms:.0f}, {each.usual.p99_ms:.0f}",
        f"{each.plan.peak:,.0f}/s {_verdict(each.peak)}",
        *smaller,
        _seconds(each.restart.catch_up),
        _seconds(each.restart.catch_up_predicted),
    )


def show_run(console: Console, workload: Workload, sizes: Sizes, outcome: Outcome, restarted: Outcome) -> None:
    """Print one simulation, stage by stage."""
    console.print(
        f"{workload.rate:,.0f} events/s in transactions of {workload.transaction_events}; primaries: {sizes.primaries}"
        f" of {sizes.vcpu} vCPU: {'holds' if outcome.sustainable else 'does not hold'}"
    )
    table = _table("stage", "units", "used", "busiest", "model", "queue", "longest", "p50 ms", "p99 ms", "")
    for stage in outcome.stages:
        table.add_row(
            stage.stage,
            f"{stage.units:,}",
            *(f"{used:.0%}" for used in (stage.utilisation, stage.busiest, stage.predicted)),
            f"{stage.queue:,}",
            f"{stage.most:,}",
            f"{stage.p50_ms:.1f}",
            f"{stage.p99_ms:.1f}",
            "grows" if stage.grows else "",
        )
    console.print(table)
    console.print(f"POST to raw topic: p50 {outcome.raw_p50_ms:.0f} ms, p99 {outcome.raw_p99_ms:.0f} ms")
    console.print(f"POST to consumer: p50 {outcome.p50_ms:.0f} ms, p99 {outcome.p99_ms:.0f} ms")
    console.print(f"{outcome.arrived:,} arrived, {outcome.delivered:,} delivered, {outcome.queued:,} in queues")
    console.print(
        f"A shard that was down is level again after {_seconds(restarted.catch_up)},"
        f" by the model {_seconds(restarted.catch_up_predicted)}"
    )


def _verdict(outcome: Outcome) -> str:
    growing = [stage.stage for stage in outcome.stages if stage.grows]
    return f"{', '.join(growing)} queue grows" if growing else "holds"


def _seconds(value: float | None) -> str:
    return "never" if value is None or value == float("inf") else f"{value:.1f} s"


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place == 0 else "right")
    return table


def _rounded(value: Any) -> Any:
    """Return a document with numbers that a reader can take in, and no infinity, which JSON has not."""
    match value:
        case float() if value in (float("inf"), float("-inf")):
            return None
        case float():
            return round(value, 4)
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value
