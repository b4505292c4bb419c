"""Owns the options of `headwater sim scale`. The work is in the modules it calls."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stack.bench_commands import own_stack
from stack.errors import StackError
from stack.scale import fitting, measuring
from stack.scale.examining import Course, examine, restart
from stack.scale.figures import Figures, load
from stack.scale.limits import Sizes, Workload, limits
from stack.scale.planner import plan
from stack.scale.report import as_dict, outcome_as_dict, show_plans, show_run, sizes_as_dict
from stack.scale.simulation import Outcome, Scenario, simulate
from stack.terminal import AsJson, console, page

_RATES: Final = (10_000.0, 100_000.0, 1_000_000.0)
_EVENTS: Final = 60_000
_ROUNDS: Final = 3
_Size = int | None


def scale(  # noqa: PLR0913 - each is an option of its own
    *,
    rate: Annotated[float | None, typer.Option(min=1, help="Events a second. [default: three rates, planned]")] = None,
    transaction_events: Annotated[int, typer.Option(min=1, help="Events in a transaction.")] = 1,
    record_bytes: Annotated[
        float | None, typer.Option(min=1, help="Of a raw record with key and headers. [default: as measured]")
    ] = None,
    primaries: Annotated[_Size, typer.Option(min=1, help="Databases that take writes. [default: as planned]")] = None,
    vcpu: Annotated[_Size, typer.Option(min=2, help="Processors of each. [default: as planned]")] = None,
    shards: Annotated[_Size, typer.Option(min=1, help="Slots of each. [default: as planned]")] = None,
    partitions: Annotated[_Size, typer.Option(min=1, help="Of a topic. [default: as planned]")] = None,
    brokers: Annotated[_Size, typer.Option(min=1, help="[default: as planned]")] = None,
    task_slots: Annotated[_Size, typer.Option(min=1, help="Of Flink. [default: as planned]")] = None,
    consumers: Annotated[_Size, typer.Option(min=1, help="[default: as planned]")] = None,
    headroom: Annotated[float, typer.Option(min=0, max=0.9, help="What a plan leaves free of each part.")] = 0.3,
    skew: Annotated[float, typer.Option(min=0, max=3, help="Zipf's exponent of the keys; 0: a key an event.")] = 0.0,
    burst: Annotated[float, typer.Option(min=1, max=2, help="Factor on the rate in every other half second.")] = 1.2,
    down: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds that a shard is down.")] = 2.0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Simulated, for each run.")] = 6.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all chance.")] = 1,
    figures: Annotated[
        Path | None, typer.Option(help="Figures in the place of the shipped ones, as --measure prints them.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure what an event costs on this machine, and print the figures.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Plan a pipeline for a rate from measured figures, and simulate whether it holds."""
    if measure:
        with own_stack() as stack:
            found = measuring.run(stack, _EVENTS, _ROUNDS)
        typer.echo(json.dumps(asdict(found)) if as_json else fitting.as_toml(found, datetime.now(UTC).date()))
        raise typer.Exit(0 if found.whole else 1)
    known = load(figures)
    course = Course(seconds, burst, down, seed)
    given: dict[str, Any] = {
        name: value
        for name, value in (
            ("primaries", primaries),
            ("vcpu", vcpu),
            ("shards", shards),
            ("partitions", partitions),
            ("brokers", brokers),
            ("task_slots", task_slots),
            ("consumers", consumers),
        )
        if value is not None
    }
    rates = _RATES if rate is None else (rate,)
    workloads = [Workload(each, transaction_events, record_bytes, skew=skew) for each in rates]
    if given:
        _given(workloads, given, known, headroom, course, as_json=as_json)
        return
    examined = []
    for workload in workloads:
        console.print(f"Simulating {workload.rate:,.0f} events/s …")
        examined.append(examine(plan(workload, known, headroom), known, course))
    if as_json:
        typer.echo(json.dumps({"plans": [as_dict(each, known) for each in examined]}))
    else:
        show_plans(page(), examined, known)
    raise typer.Exit(0 if all(each.ok for each in examined) else 1)


def _given(
    workloads: list[Workload], given: dict[str, Any], known: Figures, headroom: float, course: Course, *, as_json: bool
) -> None:
    """Simulate what the plan is with some of its sizes given, at each rate; leave with 1 where it does not hold."""
    told: list[dict[str, Any]] = []
    for workload in workloads:
        sizes = replace(plan(workload, known, headroom).sizes, **given)
        outcome, restarted = _run(workload, sizes, known, course)
        told.append(
            {
                "workload": asdict(workload),
                **sizes_as_dict(sizes, limits(workload, sizes, known)),
                "usual": outcome_as_dict(outcome),
                "restart": outcome_as_dict(restarted),
                "ok": outcome.sustainable,
            }
        )
        if not as_json:
            show_run(page(), workload, sizes, outcome, restarted)
    if as_json:
        typer.echo(json.dumps({"plans": told}))
    raise typer.Exit(0 if all(each["ok"] for each in told) else 1)


def _run(workload: Workload, sizes: Sizes, known: Figures, course: Course) -> tuple[Outcome, Outcome]:
    try:
        found = limits(workload, sizes, known)
    except ValueError as error:
        raise StackError(f"These sizes cannot be: {error}.", "Give other --shards or --vcpu.") from error
    usual = Scenario(seconds=course.seconds, burst=course.burst, seed=course.seed)
    return simulate(workload, sizes, known, usual), restart(workload, sizes, known, found, course)
