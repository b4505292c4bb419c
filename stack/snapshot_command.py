"""Owns `headwater cdc snapshot`: asks the engine for the rows of a table and shows how far it is."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from psycopg import Connection
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from cdc.backfill import command
from cdc.backfill.messages import ENDED, Cancel, Notice, Outcome, Request
from cdc.catalog import Table as CapturedTable
from cdc.errors import CdcError
from cdc.policy import Stop, decide
from cdc.postgres import connect
from cdc.settings import Settings
from stack.errors import StackError
from stack.installation import installation
from stack.terminal import AsJson

_PATIENCE_S: Final = 60.0


class _Rate(ProgressColumn):
    """Rows each second."""

    def render(self, task: Task) -> Text:
        return Text("-" if task.speed is None else f"{task.speed:,.0f} rows/s")


def snapshot(
    table: Annotated[str, typer.Argument(help="A captured table, schema.table.")] = "",
    *,
    where: Annotated[str | None, typer.Option("--where", help="SQL condition on the rows to send.")] = None,
    cancel: Annotated[str | None, typer.Option("--cancel", help="End a snapshot: its id, or a table for all.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask and return at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send the rows of a table again, while its changes stream; exit 1 when it fails or the engine stays away."""
    settings, _ = installation()
    if (cancel is None) == (not table):
        raise StackError("Name either a table or what to cancel.", "headwater cdc snapshot --help")
    if cancel is None:
        ask(settings, table, lambda _: where, replay=False, no_wait=no_wait, as_json=as_json)
        return
    with _explained(), closing(connect(settings.database_url.get_secret_value())) as connection:
        _cancel(connection, settings, cancel)
        if as_json:
            typer.echo(json.dumps({"cancel": cancel}))


def ask(
    settings: Settings,
    table: str,
    choose: Callable[[CapturedTable], str | None],
    *,
    replay: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Ask the engine for rows of a table, follow it unless told not to, and say how it ended.

    Raises:
        StackError: The request cannot be met, the engine stays away, or the snapshot failed.
    """
    with _explained(), closing(connect(settings.database_url.get_secret_value())) as connection:
        name = command.find_table(settings, table)
        estimate = command.check(connection, settings, name, choose)
        request = Request(uuid4().hex[:12], settings.slot_name, name, estimate.where, replay)
        command.listen(connection)
        command.send(connection, [replace(request, slot=slot) for slot in estimate.slots])
        if no_wait:
            last = Notice(settings.slot_name, request.id, Outcome.QUEUED, 0, 0.0)
        else:
            last = _follow(connection, request, estimate)
    _report(request, last, as_json=as_json)


def _cancel(connection: Connection[Any], settings: Settings, target: str) -> None:
    slots = command.require_engine(connection, settings)
    if "." in target or any(each.name == target for each in settings.cdc_tables):
        target = str(command.find_table(settings, target))
    command.send(connection, [Cancel(slot, target) for slot in slots])


def _follow(connection: Connection[Any], request: Request, estimate: command.Estimate) -> Notice:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[state]}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of about {task.total:,.0f} rows"),
        _Rate(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=max(1, estimate.rows), state="asked")
        for notice in command.follow(connection, estimate.slots, request.id, _PATIENCE_S):
            if notice is None:
                continue
            _show(progress, bar, notice)
            if notice.outcome in ENDED:
                return notice
    raise AssertionError("the notices never end by themselves")


def _show(progress: Progress, bar: TaskID, notice: Notice) -> None:
    total = progress.tasks[0].total or 1
    # The planner's guess may be too low; a bar beyond its end says less than one that grows.
    progress.update(bar, completed=notice.rows, total=max(total, notice.rows), state=notice.outcome.value)


def _report(request: Request, last: Notice, *, as_json: bool) -> None:
    rate = round(last.rows / last.seconds, 1) if last.seconds > 0 else None
    if as_json:
        document = {
            "request": request.id,
            "table": str(request.table),
            "rows": last.rows,
            "seconds": last.seconds,
            "rows_per_second": rate,
            "state": last.outcome.value,
        }
        typer.echo(json.dumps(document if last.error is None else {**document, "error": last.error}))
    else:
        speed = "" if rate is None else f", {rate:,.0f} rows/s"
        typer.echo(f"{request.table} ({request.id}): {last.outcome.value}, {last.rows:,} rows{speed}")
    if last.outcome in (Outcome.FAILED, Outcome.CANCELLED):
        if last.error is not None and not as_json:
            raise StackError(f"The snapshot failed: {last.error}.", "Mend the cause and ask again.")
        raise typer.Exit(1)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except command.RequestError as error:
        raise StackError(f"{error}.", error.remedy) from error
    except CdcError as error:
        decision = decide(error.kind)
        remedy = decision.remedy if isinstance(decision, Stop) else "Try again when the database can be reached."
        raise StackError(f"{error}.", remedy) from error
