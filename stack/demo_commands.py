"""Owns `headwater demo`: which demonstration runs, on which stack, and what stays of it afterwards."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from stack import compose, engines
from stack.demo import run_demo
from stack.errors import StackError
from stack.functions.demo import refuse_without_functions
from stack.functions.demo import run_demo as run_functions_demo
from stack.journey import DemoResult
from stack.local import LocalStack, current_stack
from stack.settings import CdcEngine, StackSettings
from stack.status_page import print_status
from stack.terminal import AsJson, Engine, console, page
from stack.up import bring_up

app = typer.Typer(add_completion=False)

Target = Literal["local", "compose"]


@app.command()
def demo(
    what: Annotated[
        Literal["pipeline", "functions"], typer.Argument(help="The pipeline, or the systems around Lambda.")
    ] = "pipeline",
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
    """Send real events through the whole pipeline and show how they travel; or walk through the functions."""
    if target == "compose":
        if what == "functions":
            raise StackError("The functions do not run in containers.", "Leave out --target.")
        if cdc is not None:
            raise StackError("In containers the profile chooses the engine.", f"docker compose --profile {cdc} up -d")
        settings = StackSettings()
        compose.wait_until_ready(settings, console)
        result = run_demo(settings, console, events=events, rate=rate)
        _print_demo(result, as_json=as_json)
        raise typer.Exit(0 if result.ok else 1)
    with _running(cdc, functions=what == "functions", keep=keep) as (stack, stays):
        if what == "functions":
            ok = _demo_functions(stack, as_json=as_json)
        else:
            result = run_demo(stack.settings, console, events=events, rate=rate)
            _print_demo(result, as_json=as_json)
            ok = result.ok
            if not as_json and stays:
                print_status(stack)
    raise typer.Exit(0 if ok else 1)


@contextmanager
def _running(cdc: CdcEngine | None, *, functions: bool, keep: bool) -> Iterator[tuple[LocalStack, bool]]:
    """Yield the running stack, or one that is started for this, and whether it stays."""
    stack = current_stack()
    if stack.supervisor.alive:
        engines.refuse_other(stack, cdc)
        if functions:
            refuse_without_functions(stack)
        yield stack, True
        return
    settings = StackSettings()
    if functions:
        settings = settings.model_copy(update={"functions": True})
    stack = engines.chosen(LocalStack(settings), cdc)
    stack.close()
    bring_up(stack, console)
    try:
        yield stack, keep
    finally:
        if not keep:
            console.print("Stopping the stack …")
            stack.close()


def _demo_functions(stack: LocalStack, *, as_json: bool) -> bool:
    walks = run_functions_demo(stack, page() if not as_json else console)
    ok = all(walk.ok for walk in walks)
    if as_json:
        typer.echo(json.dumps({"systems": [walk.as_dict() for walk in walks], "ok": ok}))
    else:
        good = sum(walk.ok for walk in walks)
        page().print(f"\n{'[green]✓' if ok else '[red]✗'} {good} of {len(walks)} systems did what they must[/]")
    return ok


def _print_demo(result: DemoResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    else:
        result.show(page())
