"""Owns the commands of `headwater`: their options and what they print. The work is in the modules they call."""

import json
import logging
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer
from rich.markup import escape
from rich.table import Table

from cdc.simulation.idle import run_variants
from stack import (
    bench_commands,
    cdc_commands,
    compose,
    engines,
    filter_commands,
    flink_commands,
    package_commands,
    sending,
    sim,
)
from stack import status as status_report
from stack.demo import run_demo
from stack.errors import StackError
from stack.journey import DemoResult
from stack.lags import Lag
from stack.local import HELPERS, SERVICES, LocalStack, current_stack
from stack.settings import CdcEngine, StackSettings
from stack.terminal import AsJson, console, page
from stack.up import bring_up

Engine = Annotated[CdcEngine | None, typer.Option("--cdc", help="Which engine carries the changes. [default: native]")]

Target = Literal["local", "compose"]

app = typer.Typer(
    help="Headwater: an event-driven change-data-capture pipeline on real, local parts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(bench_commands.app, name="bench")
app.add_typer(cdc_commands.app, name="cdc")
app.add_typer(filter_commands.app, name="filters")
app.add_typer(flink_commands.app, name="flink")
app.add_typer(package_commands.app)


@app.command()
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything runs.")] = False,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete all events and settings of this stack first.")] = False,
    cdc: Engine = None,
) -> None:
    """Start PostgreSQL, Kafka, Flink, the CDC engine and the producer API."""
    settings = StackSettings()
    stack = LocalStack(settings)
    if stack.supervisor.alive:
        if wipe:
            raise StackError("The stack is running.", "Run `headwater down` before `headwater up --wipe`.")
        engines.refuse_other(current_stack(), cdc)
        console.print("The stack is already running; `headwater status` tells more.")
        return
    stack = engines.chosen(stack, cdc, wiped=wipe)
    if wipe:
        shutil.rmtree(stack.state.root, ignore_errors=True)
    stack.close()  # what a killed supervisor left behind
    bring_up(stack, console)
    _print_status(stack)
    if detach:
        return
    console.print("\nPress Ctrl-C to stop; `headwater up -d` starts it in the background.")
    try:
        while stack.supervisor.alive:
            time.sleep(1)
    finally:
        console.print("Stopping …")
        stack.close()


@app.command()
def down() -> None:
    """Stop the stack; its events, topics and positions stay for the next start."""
    stack = current_stack()
    was_running = stack.supervisor.alive
    stack.close()
    console.print("Stopped." if was_running else "The stack was not running.")


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show every service, its restarts, the endpoints and the memory used."""
    stack = current_stack()
    if as_json:
        typer.echo(json.dumps(status_report.inspect(stack).as_dict()))
    else:
        _print_status(stack)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join((*SERVICES, *HELPERS))}.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines of the end.")] = 200,
) -> None:
    """Print the log of one service."""
    stack = current_stack()
    if service not in stack.services():
        raise StackError(f"There is no service {service!r}.", f"Take one of {', '.join((*SERVICES, *HELPERS))}.")
    file = stack.log_file(service)
    if not file.exists():
        raise StackError(f"{service} has not written a log yet.", "Start the stack with `headwater up`.")
    if follow:
        subprocess.run(["tail", "-n", str(lines), "-F", str(file)], check=False)
    else:
        typer.echo(stack.log_tail(service, lines))


@app.command()
def send(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="A JSON file with an event or an array.")],
) -> None:
    """Post an event, or an array of events, to the producer API of the running stack."""
    text = sys.stdin.read() if source == "-" else _read(Path(source))
    answer = sending.post(current_stack().settings.producer_url, text)
    typer.echo(json.dumps(answer.body, indent=2))
    raise typer.Exit(0 if answer.accepted else 1)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(
            f"{file} cannot be read ({error}).", "Give the path of a JSON file, or - for standard input."
        ) from error


@app.command()
def demo(
    *,
    as_json: AsJson = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    events: Annotated[int, typer.Option(min=1, help="How many events to send.")] = 200,
    rate: Annotated[float, typer.Option(min=0.1, help="Events a second.")] = 20,
    cdc: Engine = None,
    target: Annotated[
        Target, typer.Option(help="The stack of packages, or the containers that already run.")
    ] = "local",
) -> None:
    """Send real events through the whole pipeline and show how they travel."""
    if target == "compose":
        if cdc is not None:
            raise StackError("In containers the profile chooses the engine.", f"docker compose --profile {cdc} up -d")
        settings = StackSettings()
        compose.wait_until_ready(settings, console)
        result = run_demo(settings, console, events=events, rate=rate)
        _print_demo(result, as_json=as_json)
        raise typer.Exit(0 if result.ok else 1)
    stack = current_stack()
    started = not stack.supervisor.alive
    if started:
        stack = engines.chosen(LocalStack(StackSettings()), cdc)
        stack.close()
        bring_up(stack, console)
    else:
        engines.refuse_other(stack, cdc)
    try:
        result = run_demo(stack.settings, console, events=events, rate=rate)
        _print_demo(result, as_json=as_json)
        if not as_json and (keep or not started):
            _print_status(stack)
    finally:
        if started and not keep:
            console.print("Stopping the stack …")
            stack.close()
    raise typer.Exit(0 if result.ok else 1)


def _print_demo(result: DemoResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    else:
        result.show(page())


sim_app = typer.Typer()
app.add_typer(sim_app, name="sim")


@sim_app.callback(invoke_without_command=True)
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


@sim_app.command(name="idle")
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


def _print_status(stack: LocalStack) -> None:
    report = status_report.inspect(stack)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("service", "state", "pid", "restarts", "endpoint"):
        table.add_column(heading)
    for one in (*report.services, *report.helpers):
        colour = "green" if one.state == "running" else "red" if one.state == "stopped" else "yellow"
        table.add_row(
            one.name, f"[{colour}]{one.state}[/]", str(one.pid or "-"), str(one.restarts), one.endpoint or "-"
        )
    out = page()
    out.print(table)
    for job in report.jobs:
        if job.state not in ("CANCELED", "FINISHED"):
            out.print(f"job {job.line}", soft_wrap=True)
    if report.consumers:
        out.print(_lag_table(report.consumers))
    jobs = "" if any(job.state == "RUNNING" for job in report.jobs) else " no job runs;"
    out.print(f"stack {report.state};{jobs} {report.memory_bytes / 1e9:.2f} GB of memory")


def _lag_table(consumers: tuple[Lag, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("consumer group", "topic", "members", "lag"):
        table.add_column(heading, justify="right" if heading in ("members", "lag") else "left", no_wrap=True)
    for one in consumers:
        table.add_row(one.group, one.topic, str(one.members), f"{one.lag:,}")
    return table


def run() -> int:
    """Run the command that the arguments name; return the exit code, unless the library leaves by itself."""
    # The stages log their events; a person at the terminal only wants to see what went wrong.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        app()
    except StackError as error:
        console.print(f"[red]Error:[/] {escape(error.problem)}", soft_wrap=True)
        console.print(escape(error.remedy), soft_wrap=True)
        return 1
    return 0
