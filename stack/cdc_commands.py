"""Owns `headwater cdc …`: an engine in the foreground, and what an operator asks and does about replication.

They mean the installation that the engine's own variables name (`DATABASE_URL`, `KAFKA_BOOTSTRAP_SERVERS`, …) and,
where those are not set, the local stack. All but `run` and `replay` change nothing, and none needs an engine to run.
"""

import json
import logging
import os
from typing import Any

import httpx
import structlog
import typer
from rich.markup import escape
from rich.table import Table

from cdc.backfill.selection import TIME_COLUMN, TYPE_COLUMN, Selection, condition
from cdc.letters.replay import Choice
from cdc.run import run as run_engine
from cdc.shutdown import Shutdown
from cdc.watch.diagnosis import Diagnosis, Severity
from cdc.watch.doctor import diagnose
from cdc.watch.status import Status, read_status
from stack import cdc_replay, engines
from stack.errors import StackError
from stack.installation import installation
from stack.local import current_stack
from stack.snapshot_command import ask, snapshot
from stack.switch_command import deploy, switch
from stack.terminal import AsJson, page

app = typer.Typer(add_completion=False, no_args_is_help=True)
app.command()(snapshot)
app.command()(deploy)
app.command()(switch)

_PROBE_S = 3


@app.callback()
def _group() -> None:
    """Look after the change-data-capture engine."""
    # What a library logs of a broker that is away, the answer says better.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@app.command()
def run() -> None:
    """Run an engine in the foreground until Ctrl-C; beside another one of the same slot it waits to take over."""
    shutdown = Shutdown()
    shutdown.install()
    settings, _ = installation()
    raise typer.Exit(run_engine(settings, shutdown))


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Print what is wrong with database, slot and topics, with the remedy and its SQL; exit 1 if there are errors."""
    settings, _ = installation()
    stack = current_stack()
    theirs = stack.settings.cdc == "debezium" and "DATABASE_URL" not in os.environ
    found = engines.diagnosed(stack, settings) if theirs else diagnose(settings)
    errors = sum(each.severity is Severity.ERROR for each in found)
    if as_json:
        document = {
            "ok": errors == 0,
            "errors": errors,
            "warnings": sum(each.severity is Severity.WARNING for each in found),
            "findings": [each.as_dict() for each in found],
        }
        typer.echo(json.dumps(document))
    else:
        _show_findings(found)
    raise typer.Exit(1 if errors else 0)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show the engine's state, its slot and lag, the WAL it holds back and the last position in the topic."""
    settings, endpoint = installation()
    report = read_status(settings)
    engine = _engine(endpoint, report)
    if as_json:
        typer.echo(json.dumps({"engine": engine, **report.as_dict()}))
    else:
        _show_status(engine, report)


@app.command()
def replay(  # noqa: PLR0913  # one option each
    *,
    dead_letters: cdc_replay.DeadLetters = False,
    position: cdc_replay.Positions = None,
    everything: cdc_replay.All = False,
    dry_run: cdc_replay.DryRun = False,
    again: cdc_replay.Again = False,
    superseded: cdc_replay.Superseded = False,
    table: cdc_replay.Table = None,
    key: cdc_replay.Keys = None,
    since: cdc_replay.Since = None,
    event_type: cdc_replay.Types = None,
    time_column: cdc_replay.TimeColumn = TIME_COLUMN,
    type_column: cdc_replay.TypeColumn = TYPE_COLUMN,
    as_json: AsJson = False,
) -> None:
    """List dead letters, or send them again; or rows of a table. What is sent again has the header cdc.replay."""
    if dead_letters == (table is not None):
        raise StackError(
            "Say what to replay from.", "headwater cdc replay --dead-letters, or headwater cdc replay --table TABLE"
        )
    settings, _ = installation()
    if table is not None:
        chosen = Selection(key or (), since, event_type or (), time_column, type_column)
        ask(settings, table, lambda each: condition(each, chosen), replay=True, no_wait=False, as_json=as_json)
        return
    choice = Choice(again=again, superseded=superseded)
    cdc_replay.replay(settings, position, everything=everything, dry_run=dry_run, choice=choice, as_json=as_json)


def _engine(endpoint: str | None, report: Status) -> dict[str, Any]:
    """Return what the engine says of itself, or what its slot and its silence tell."""
    if endpoint is not None:
        try:
            answer = httpx.get(f"{endpoint}/readyz", timeout=_PROBE_S).json()
            return {
                "state": answer["phase"],
                "endpoint": endpoint,
                **{name: answer[name] for name in ("ready", "reason", "in_flight", "lag_seconds")},
                "wal_seconds_left": answer.get("wal_seconds_left"),
            }
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            # Not ours, or not there: the slot knows whether somebody reads it.
            pass
    states = {"active": "unwatched", "unknown": "unknown"}
    reasons = {
        "unwatched": "the slot is read, by Debezium or by an engine without endpoint (CDC_HTTP_PORT)",
        "unknown": "neither the endpoint nor the database answers",
        "down": "nobody reads the slot",
    }
    state = states.get(report.slot.state, "down")
    # With nothing behind the confirmed LSN nothing waits, whoever is down.
    lag = 0.0 if report.slot.lag_bytes == 0 else None
    return {
        "state": state,
        "endpoint": endpoint,
        "ready": False,
        "reason": reasons[state],
        "in_flight": None,
        "lag_seconds": lag,
        "wal_seconds_left": None,
    }


def _time_left(seconds: float | None) -> str:
    return "" if seconds is None else f", its budget lasts {seconds:.0f} s at the present rate"


def _show_findings(found: tuple[Diagnosis, ...]) -> None:
    out = page()
    for each in found:
        colour = {Severity.ERROR: "red", Severity.WARNING: "yellow"}.get(each.severity, "dim")
        out.print(f"[{colour}]{each.severity.value}[/] {escape(each.kind.value)}: {escape(each.found)}")
        out.print(f"  remedy: {escape(each.remedy)}")
        if each.sql is not None:
            # As it is, so that it can be copied.
            out.print(f"  sql:    {escape(each.sql)}", soft_wrap=True)
    errors = sum(each.severity is Severity.ERROR for each in found)
    warnings = sum(each.severity is Severity.WARNING for each in found)
    out.print(f"{errors} errors, {warnings} warnings" if errors or warnings else "Nothing is wrong.")


def _show_status(engine: dict[str, Any], report: Status) -> None:
    def text(value: object, unit: str = "") -> str:
        return "-" if value is None else escape(f"{value}{unit}")

    slot = report.slot
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in (
        ("engine", f"{text(engine['state'])} ({text(engine['reason'])})"),
        ("endpoint", text(engine["endpoint"])),
        ("slot", f"{text(slot.name)} {text(slot.state)}, wal_status {text(slot.wal_status)}"),
        ("confirmed LSN", text(slot.confirmed_lsn)),
        ("lag", f"{text(slot.lag_bytes, ' bytes')}, {text(engine['lag_seconds'], ' s')}"),
        ("retained WAL", text(slot.retained_wal_bytes, " bytes") + _time_left(engine["wal_seconds_left"])),
        ("in flight", text(engine["in_flight"])),
        *(
            (
                f"topic {topic.name}",
                f"last position {text(topic.last_position)}, dead letters {text(topic.dead_letters)}",
            )
            for topic in report.topics
        ),
        *(("problem", text(problem)) for problem in report.problems),
    ):
        table.add_row(escape(name), value)
    page().print(table)
