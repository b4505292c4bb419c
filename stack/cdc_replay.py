"""Owns `headwater cdc replay`: what lies in the dead-letter topics, and sending it again. Decides nothing by itself.

It sends only what it is told to, and never what would overwrite something newer unless it is told so too.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cdc.errors import CdcError
from cdc.letters.letterbox import letters_of
from cdc.letters.replay import Choice, Replay, State, Verdict
from cdc.lsn import Position
from cdc.policy import Stop, decide
from cdc.settings import Settings
from stack.errors import StackError

_SHOWN: Final = {
    State.READY: "green",
    State.REPLAYED: "dim",
    State.SUPERSEDED: "yellow",
    State.TOO_LARGE: "red",
    State.UNENCODABLE: "red",
    State.FOREIGN: "dim",
}
_HELP: Final = {
    State.SUPERSEDED: "newer records have their keys; --superseded sends them all the same",
    State.TOO_LARGE: "raise max.message.bytes of the topic (and message.max.bytes, if CDC_KAFKA_CONFIG has it) first",
    State.UNENCODABLE: "a later version may encode them; until then the rows have to be corrected",
    State.FOREIGN: "they are of another database",
}

DeadLetters = Annotated[bool, typer.Option("--dead-letters", help="From the dead-letter topics of the tables.")]
Positions = Annotated[
    list[str] | None, typer.Option("--position", help="Send the letter at this position; may be repeated.")
]
All = Annotated[bool, typer.Option("--all", help="Send every letter that is ready.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")]
Again = Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")]
Superseded = Annotated[bool, typer.Option("--superseded", help="Also those whose key has a newer record.")]

Table = Annotated[str | None, typer.Option("--table", help="From this table, by the engine that streams.")]
Keys = Annotated[
    list[str] | None, typer.Option("--key", help="With --table: this row; a record's key if it has several columns.")
]
Since = Annotated[str | None, typer.Option("--since", help="With --table: rows from this time on.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="With --table: rows of this type.")]
TimeColumn = Annotated[str, typer.Option("--time-column", help="The column that --since compares.")]
TypeColumn = Annotated[str, typer.Option("--type-column", help="The column that --type compares.")]


def replay(  # one option each
    settings: Settings,
    positions: Sequence[str] | None,
    *,
    everything: bool,
    dry_run: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """List the letters, or send those that were chosen.

    Raises:
        StackError: A position is none, or the letter at it cannot be sent; database or broker cannot be reached.
    """
    wanted = _parse(positions or ())
    choice = Choice(wanted or None, again=choice.again, superseded=choice.superseded)
    try:
        verdicts, sent = _run(settings, choice, send=bool(wanted or everything), dry_run=dry_run, bar=not as_json)
    except CdcError as error:
        decision = decide(error.kind)
        remedy = decision.remedy if isinstance(decision, Stop) else "Try again when it is back; nothing comes twice."
        raise StackError(f"{error.kind.value}: {error}.", remedy) from error
    if as_json:
        typer.echo(json.dumps({"letters": [verdict.as_dict() for verdict in verdicts], "sent": sent}))
    else:
        _show(verdicts, sent, choice, dry_run=dry_run and bool(wanted or everything))
    if wanted:
        there = {verdict.letter.position for verdict in verdicts if dry_run or verdict.sent}
        if missing := wanted - there:
            names = ", ".join(sorted(position.encode().decode() for position in missing))
            raise StackError(f"Not sent: {names}.", "Its state in the list says why, or there is none there.")


def _run(settings: Settings, choice: Choice, *, send: bool, dry_run: bool, bar: bool) -> tuple[Sequence[Verdict], int]:
    run = Replay(settings)
    verdicts = run.judge(letters_of(settings).letters)
    due = sum(choice.covers(verdict) for verdict in verdicts)
    if not send or dry_run or not due:
        return verdicts, 0
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not bar, transient=True) as progress:
        task = progress.add_task("replay", total=due)
        done = run.send(verdicts, choice, lambda: progress.advance(task))
    return done, sum(verdict.sent for verdict in done)


def _parse(positions: Sequence[str]) -> frozenset[Position]:
    try:
        return frozenset(Position.decode(position.encode()) for position in positions)
    except ValueError as error:
        raise StackError(f"{error}.", "A position looks like 16/B374D848/4, as the list shows it.") from error


def _show(verdicts: Sequence[Verdict], sent: int, choice: Choice, *, dry_run: bool) -> None:
    out = Console(highlight=False, soft_wrap=True)
    for verdict in verdicts:
        letter = verdict.letter
        place = f"{letter.position.encode().decode()} {letter.topic} {letter.key.decode(errors='backslashreplace')}"
        state = f"[{_SHOWN[verdict.state]}]{'sent' if verdict.sent else verdict.state.value}[/]"
        mark = " would be sent" if dry_run and choice.covers(verdict) else ""
        out.print(f"{state}{mark} {escape(place)}")
        out.print(f"  {escape(letter.table)} {letter.reason}: {escape(letter.error)}")
        if verdict.detail:
            out.print(f"  {escape(verdict.detail)}")
    states = [verdict.state for verdict in verdicts]
    for each, text in _HELP.items():
        if each in states and not (each is State.SUPERSEDED and choice.superseded):
            out.print(f"{each.value}: {text}")
    count = sum(choice.covers(verdict) for verdict in verdicts)
    if dry_run:
        out.print(f"{len(verdicts)} dead letters, {count} would be sent")
    elif sent:
        out.print(f"{len(verdicts)} dead letters, {sent} sent")
    else:
        ready = states.count(State.READY)
        more = "; send them: headwater cdc replay --dead-letters --all" if ready else ""
        out.print(f"{len(verdicts)} dead letters, {ready} ready{more}")
