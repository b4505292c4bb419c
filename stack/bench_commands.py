"""Owns `headwater bench …`: measurements on a stack of their own, in a temporary folder and on free ports."""

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import typer
from rich.console import Console

from stack import transactions
from stack.faults import FaultRun
from stack.local import LocalStack
from stack.settings import HOST, StackSettings

app = typer.Typer(help="Measure and break the parts on a stack of its own.", no_args_is_help=True)

_console = Console(stderr=True, highlight=False)


@contextmanager
def own_stack() -> Iterator[LocalStack]:
    """Give a stack that nobody else uses, opened and with no service running; it is gone afterwards."""
    names = [name for name in StackSettings.model_fields if name.endswith("_port")]
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in names]
        for each in sockets:
            each.bind((HOST, 0))
        ports = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    with tempfile.TemporaryDirectory(prefix="headwater-bench-", ignore_cleanup_errors=True) as folder:
        stack = LocalStack(StackSettings(state_dir=Path(folder) / "state", **ports))
        try:
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Kill or freeze engine, broker and database under load, then compare Kafka with the database, change by change."""
    chosen = SystemRandom().randrange(2**31) if seed is None else seed
    _console.print(f"seed {chosen}")
    with own_stack() as stack:
        report = FaultRun(stack, chosen).run(
            rounds, rate, lambda number, name: _console.print(f"  round {number:>3} of {rounds}: {name}")
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
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
