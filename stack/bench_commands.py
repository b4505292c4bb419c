"""Owns `headwater bench …`: measurements on a stack of their own, in a temporary folder and on free ports."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import Annotated, Any, Final, NoReturn, Protocol

import typer
from rich.console import Console

from stack import callback_bench, flink_bench, transactions
from stack.cdc_bench import bench as cdc_bench
from stack.cdc_bench import command as cdc_options
from stack.e2e_bench import run as e2e_bench
from stack.faults import FaultRun
from stack.local import LocalStack
from stack.ports import own_settings
from stack.producer_bench import run as producer_bench
from stack.terminal import AsJson, console, page
from stack.up import bring_up

_RATES: Final = (20.0, 200.0, 1000.0)

app = typer.Typer(add_completion=False, help="Measure and break the parts on a stack of its own.", no_args_is_help=True)


class Report(Protocol):
    """What a measurement has found."""

    @property
    def ok(self) -> bool:
        """Whether nothing was lost or repeated."""

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""

    def show(self, console: Console) -> None:
        """Print it for people."""


def end_with(report: Report, *, as_json: bool) -> NoReturn:
    """Tell what was found, and end the command: with 1 where the report is not ok."""
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        report.show(page())
    raise typer.Exit(0 if report.ok else 1)


@contextmanager
def own_stack(*, running: bool = False) -> Iterator[LocalStack]:
    """Give a stack that nobody else uses, which is gone afterwards.

    Args:
        running: As `headwater up` runs it; otherwise opened, with no service.
    """
    with tempfile.TemporaryDirectory(prefix="headwater-bench-", ignore_cleanup_errors=True) as folder:
        stack = LocalStack(own_settings(Path(folder) / "state"))
        try:
            if running:
                bring_up(stack, console)
            else:
                stack.open()
            yield stack
        finally:
            stack.close()


@app.command()
def faults(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How many faults, one after the other.")] = 10,
    rate: Annotated[float, typer.Option(min=1, help="Changes a second.")] = 500,
    seed: Annotated[int | None, typer.Option(help="Repeat the faults of an earlier run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Kill or freeze engine, broker and database under load, then compare Kafka with the database, change by change."""
    chosen = SystemRandom().randrange(2**31) if seed is None else seed
    console.print(f"seed {chosen}")
    with own_stack() as stack:
        report = FaultRun(stack, chosen).run(
            rounds, rate, lambda number, name: console.print(f"  round {number:>3} of {rounds}: {name}")
        )
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        by_fault = ", ".join(f"{name} {count}" for name, count in sorted(report.rounds_by_fault.items()))
        typer.echo(f"{report.rounds} rounds ({by_fault}), {report.events} changes:")
        typer.echo(f"{report.lost} lost, {report.duplicates} duplicates, {report.reordered} keys out of order")
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def transaction(
    *,
    rows: Annotated[int, typer.Option(min=1, help="Rows in the one transaction.")] = 1_000_000,
    row_bytes: Annotated[int, typer.Option(min=1, help="About how many bytes each header has.")] = 64,
    streaming: Annotated[
        bool, typer.Option("--streaming/--whole", help="Let the server send it while it runs, or after its commit.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Carry one large transaction to Kafka; show the time it takes and the engine's memory."""
    # The engine takes it from the environment of the supervisor.
    os.environ["CDC_STREAMING"] = "on" if streaming else "off"
    with own_stack() as stack:
        report = transactions.run(stack, rows, row_bytes, streaming=streaming)
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        typer.echo(
            f"{report.delivered} of {report.rows} rows in {report.seconds} s ({report.rows_per_second} a second)"
        )
        typer.echo(f"peak memory of the engine: {report.peak_memory_mb} MB")
    raise typer.Exit(0 if report.delivered == report.rows else 1)


@app.command()
def flink(
    *,
    records: Annotated[int, typer.Option(min=1000, help="How many records the backlog has.")] = 500_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each job reads it, in turn; medians are told.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Let a plain copy, the shipped filters and a hundred filters read one backlog; records a second, and losses."""
    with own_stack() as stack:
        report = flink_bench.run(stack, records, rounds)
    end_with(report, as_json=as_json)


@app.command()
def callbacks(
    *,
    sessions: Annotated[int, typer.Option(min=1, max=128, help="Sessions that call at the same time.")] = 16,
    calls: Annotated[int, typer.Option(min=100, help="Calls of a round, of all sessions together.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each load is measured; medians are told.")] = 3,
    rate: Annotated[
        float, typer.Option(min=1, help="Calls a second of all sessions together, where they pause.")
    ] = 150,
    as_json: AsJson = False,
) -> None:
    """Call a warm Lambda function from many sessions by `aws_lambda.invoke`; milliseconds, lost and wrong answers."""
    with own_stack() as stack:
        report = callback_bench.run(stack, sessions, calls, rounds, rate)
    end_with(report, as_json=as_json)


@app.command()
def cdc(  # noqa: PLR0913  # the options of one command
    *,
    shapes: Annotated[
        str, typer.Option(help="Backlogs: single, batch (transactions of 1 and of 100).")
    ] = "single,batch",
    transactions: Annotated[int | None, typer.Option(min=1, help="Transactions of a backlog of your own.")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Events in each of its transactions.")] = None,
    size: Annotated[int, typer.Option("--bytes", min=1, help="About how many bytes a record's value has.")] = 300,
    engines: Annotated[
        str, typer.Option(help="Of native, debezium (tuned), debezium_default (as shipped), limit.")
    ] = "native,debezium,debezium_default,limit",
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each, in turn. [default: 3, quick 1]")] = None,
    latency: Annotated[bool, typer.Option("--latency/--no-latency", help="Follow open loops as well.")] = True,
    seconds: Annotated[int | None, typer.Option(min=1, help="How long each is followed. [default: 10, 8, 6]")] = None,
    highest_rate: Annotated[int, typer.Option(min=1, help="The highest rate of an open loop.")] = 2_000,
    compression: Annotated[str, typer.Option(help="Of every producer: none, lz4, snappy, zstd.")] = "none",
    plot: Annotated[Path | None, typer.Option(help="Draw the figures into this file, .png or .svg.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes and one round.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure our engine, Debezium and the limits of both under the same load: speed, latency, cost, losses."""
    plan = cdc_options.plan(
        shapes=shapes,
        transactions=transactions,
        events=events,
        size=size,
        engines=engines,
        rounds=rounds,
        latency=latency,
        seconds=seconds,
        highest_rate=highest_rate,
        compression=compression,
        quick=quick,
    )
    draw = cdc_options.drawing(plot)
    with own_stack() as stack:
        report = cdc_bench.run(stack, plan, console.print)
    draw(report)
    end_with(report, as_json=as_json)


@app.command()
def producer(
    *,
    clients: Annotated[
        list[int], typer.Option(min=1, max=64, help="Clients at the same time; may be given several times.")
    ] = [1, 8],  # noqa: B006 - typer's own form
    seconds: Annotated[float, typer.Option(min=1, help="How long each run is.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is run, in turn; medians are told.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Two rounds of a second: within a minute.")] = False,
    as_json: AsJson = False,
) -> None:
    """Call the Lambda handler in process, beside `pgbench` with the plain transaction; transactions a second."""
    seconds, rounds = (1, 2) if quick else (seconds, rounds)
    with own_stack() as stack:
        report = producer_bench.run(stack, clients, seconds, rounds, lambda line: console.print(f"  {line}"))
    end_with(report, as_json=as_json)


@app.command()
def e2e(
    *,
    rate: Annotated[
        list[float] | None,
        typer.Option(min=1, help="Events a second; may be given several times. [default: 20, 200, 1000]"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long each rate is kept up in a round.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="How often each rate is measured, in turn; medians are told.")] = 3,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds of events before, counted and not timed.")] = 40,
    quick: Annotated[bool, typer.Option("--quick", help="One round of 4 s, hardly warm: within a minute.")] = False,
    as_json: AsJson = False,
) -> None:
    """Post events at fixed rates and follow each to its filtered topic; milliseconds of each hop, losses, repeats."""
    seconds, rounds, warm_up = (4, 1, 16) if quick else (seconds, rounds, warm_up)
    with own_stack(running=True) as stack:
        report = e2e_bench.run(stack, rate or _RATES, seconds, rounds, warm_up, lambda line: console.print(f"  {line}"))
    end_with(report, as_json=as_json)
