"""Owns `headwater sim …`: options of the simulations, and what they print. The work is in the modules they call."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from cdc.simulation.idle import run_variants
from stack import sim
from stack.scale.command import scale
from stack.terminal import AsJson, console, page

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def simulate(
    context: typer.Context,
    *,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to run, on every core.")] = 2,
    schedules: Annotated[int | None, typer.Option(min=1, help="Run so many schedules instead.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The first seed; the others follow it. [default: any]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the change-capture loop through simulated crashes, delays and outages, and check every record."""
    if context.invoked_subcommand is not None:
        return
    tally = sim.simulate(console, seed=seed, schedules=schedules, seconds=minutes * 60)
    if as_json:
        typer.echo(sim.as_json(tally))
    else:
        page().print(sim.in_words(tally))
    raise typer.Exit(0 if tally.good else 1)


app.command(name="scale")(scale)


@app.command(name="idle")
def simulate_idle(
    *,
    hours: Annotated[float, typer.Option(min=0.1, help="How many simulated hours.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Simulate an idle table beside a busy one, and print the most WAL that its slot ever held back."""
    held = run_variants(hours)
    if as_json:
        typer.echo(json.dumps({**asdict(held), "ok": held.ok}, separators=(",", ":")))
    else:
        page().print(
            f"{held.hours:g} hours: at most {held.retained_max_bytes:,} bytes of WAL held back,"
            f" {held.heartbeat_bytes:,} allowed, {held.heartbeats:,} heartbeats"
        )
    raise typer.Exit(0 if held.ok else 1)
