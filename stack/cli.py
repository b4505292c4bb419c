"""Owns the commands of `headwater` that run the stack and post to it: their options and what they print.

The other commands are groups, which `lazy` loads. The work is in the modules that they call.
"""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer
from rich.markup import escape

from stack import engines, sending
from stack import status as status_report
from stack.errors import StackError
from stack.functions.demo import refuse_without_functions
from stack.lazy import LazyGroup
from stack.local import LocalStack, current_stack
from stack.settings import StackSettings
from stack.status_page import print_status
from stack.terminal import AsJson, Engine, console
from stack.up import bring_up

app = typer.Typer(
    cls=LazyGroup,
    help="Headwater: an event-driven change-data-capture pipeline on real, local parts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything runs.")] = False,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete all events and settings of this stack first.")] = False,
    beside: Annotated[
        Literal["functions"] | None,
        typer.Option("--with", help="Also the Lambda functions, with local AWS services, beside the pipeline."),
    ] = None,
    cdc: Engine = None,
) -> None:
    """Start PostgreSQL, Kafka, Flink, the CDC engine and the producer API."""
    settings = StackSettings()
    if beside:
        settings = settings.model_copy(update={"functions": True})
    stack = LocalStack(settings)
    if stack.supervisor.alive:
        if wipe:
            raise StackError("The stack is running.", "Run `headwater down` before `headwater up --wipe`.")
        engines.refuse_other(current_stack(), cdc)
        if beside:
            refuse_without_functions(current_stack())
        console.print("The stack is already running; `headwater status` tells more.")
        return
    stack = engines.chosen(stack, cdc, wiped=wipe)
    if wipe:
        stack.state.wipe()
    stack.close()  # what a killed supervisor left behind
    bring_up(stack, console)
    print_status(stack)
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
        print_status(stack)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="As `headwater status` names it.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines of the end.")] = 200,
) -> None:
    """Print the log of one service."""
    stack = current_stack()
    if service not in stack.services():
        raise StackError(
            f"There is no service {service!r}.", f"Take one of {', '.join((*stack.wanted, *stack.helpers))}."
        )
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
