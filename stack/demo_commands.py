"""Owns `headwater demo`: which demonstration runs, on which stack, and what stays of it afterwards."""

import json
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

Target = Literal["local", "compose"]


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
    if what == "functions":
        raise typer.Exit(_demo_functions(as_json=as_json, keep=keep, cdc=cdc))
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
            print_status(stack)
    finally:
        if started and not keep:
            console.print("Stopping the stack …")
            stack.close()
    raise typer.Exit(0 if result.ok else 1)


def _demo_functions(*, as_json: bool, keep: bool, cdc: CdcEngine | None) -> int:
    stack = current_stack()
    started = not stack.supervisor.alive
    if started:
        settings = StackSettings().model_copy(update={"functions": True})
        stack = engines.chosen(LocalStack(settings), cdc)
        stack.close()
        bring_up(stack, console)
    else:
        refuse_without_functions(stack)
    try:
        walks = run_functions_demo(stack, page() if not as_json else console)
    finally:
        if started and not keep:
            console.print("Stopping the stack …")
            stack.close()
    ok = all(walk.ok for walk in walks)
    if as_json:
        typer.echo(json.dumps({"systems": [walk.as_dict() for walk in walks], "ok": ok}))
    else:
        good = sum(walk.ok for walk in walks)
        page().print(f"\n{'[green]✓' if ok else '[red]✗'} {good} of {len(walks)} systems did what they must[/]")
    return 0 if ok else 1


def _print_demo(result: DemoResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_dict()))
    else:
        result.show(page())
