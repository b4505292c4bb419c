"""Owns `headwater filters …`: writing a filter, seeing what it would do, and the group of all its commands.

What changes a file or what runs is in `filter_state_commands` and `filter_deploy_commands`. Nothing here writes.
"""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from jsonschema import Draft202012Validator, FormatChecker
from rich.markup import escape
from rich.table import Table

import schemas
from flink_jobs.dialects import Dialect, Inserts, ValueFormat, faults, make, processor_set, processor_text
from flink_jobs.dialects.scripts import PROCESSOR_FILE
from flink_jobs.evaluator import Explanation, explain
from flink_jobs.filters import FilterError, FilterSet, to_file_form
from flink_jobs.lifecycle.samples import Sample, SampleError, read_samples
from stack import filter_deploy_commands, filter_state_commands
from stack.errors import StackError
from stack.filter_settings import File, chosen, told
from stack.terminal import AsJson, page

_SHOWN = 200
"""Characters of a fault's text that are printed."""

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Write, review, deploy and take back the filters of the Flink job."
)


class Part(StrEnum):
    """Choose what is made of the filters (FL-56)."""

    FLINK = "flink"
    PROCESSOR = "processor"
    """The configuration of the processor without Flink."""


@app.command()
def validate(
    source: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The filter file.")] = None,
    *,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Check a filter file: syntax, structure, meaning, and that it has a form in every dialect; exit 1 if wrong."""
    filters_file, settings = chosen(source or file)
    text, problems, count = "", [], 0
    try:
        text = filters_file.path.read_text("utf-8", errors="replace") if filters_file.path.is_file() else ""
        filters = filters_file.read()
        count = len(filters.filters)
        problems += _structure(text)
        problems += [(path, f"{dialect}: {reason}") for dialect, path, reason in faults(filters, settings)]
    except FilterError as error:
        problems += error.problems
    found = [{"path": path, "reason": reason, "text": offending(text, path, reason)} for path, reason in problems]
    if as_json:
        body = {"file": str(filters_file.path), "valid": not found, "filters": count, "errors": found}
        typer.echo(json.dumps(body, ensure_ascii=False))
    elif not found:
        page().print(f"{escape(str(filters_file.path))}: {count} filters, valid in {', '.join(Dialect)}")
    else:
        first = found[0]
        sys.stderr.write(f"{filters_file.path}: {first['path']}: {first['reason']}\n")
        sys.stderr.write(f"  {first['text']}\n" if first["text"] else "")
        sys.stderr.write(f"and {len(found) - 1} more; --json lists all\n" if len(found) > 1 else "")
    raise typer.Exit(1 if found else 0)


def _structure(text: str) -> list[tuple[str, str]]:
    """Return what the JSON Schema of the file has against it, beyond what its reader refuses."""
    checker = Draft202012Validator(schemas.filter_file_schema(), format_checker=FormatChecker())
    return [(each.json_path, each.message) for each in checker.iter_errors(json.loads(text))]


def offending(text: str, path: str, reason: str) -> str:
    """Return the text that a problem is about: the value at its path, or the line where JSON ends to be JSON."""
    try:
        here: Any = json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        return lines[error.lineno - 1].strip() if lines and reason and error.lineno <= len(lines) else ""
    for step in path.removeprefix("$").replace("[", ".[").split(".")[1:]:
        try:
            here = here[int(step[1:-1]) if step.startswith("[") else step]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    shown = json.dumps(here, ensure_ascii=False)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} …"


@app.command()
def sql(  # noqa: PLR0913  # one option each
    *,
    dialect: Annotated[Dialect, typer.Option(help="The service that is to run it.")] = Dialect.LOCAL,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A folder to write to.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Generate and check, and write nothing.")] = False,
    only: Annotated[Part | None, typer.Option(help="Only the SQL, or only the other processor's filters.")] = None,
    value_format: Annotated[ValueFormat, typer.Option(help="Confluent: the form of values.")] = ValueFormat.JSON,
    inserts: Annotated[Inserts, typer.Option(help="Confluent: one statement for all, or for each.")] = Inserts.SET,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Print what is generated from the filters, or write it to a folder.

    That is the SQL of a dialect, and in a folder also the filters of the processor without Flink, if there are any.
    """
    filters_file, settings = chosen(file)
    if dialect is Dialect.MSK:
        # The broker of the local stack is not the one over there.
        settings = settings.model_copy(
            update={"kafka_bootstrap_servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")}
        )
    with told(filters_file.path):
        filters = filters_file.read()
        script = make(filters, settings, dialect, value_format, inserts) if only is not Part.PROCESSOR else None
    wants_processor = only is Part.PROCESSOR or (only is None and bool(processor_set(filters).filters))
    if as_json:
        body: dict[str, Any] = {"file": str(filters_file.path), "dialect": str(dialect)}
        body["statements"] = [{"name": each.name, "text": each.text} for each in script.calls] if script else []
        body["processor"] = to_file_form(processor_set(filters)) if wants_processor else None
        typer.echo(json.dumps(body, ensure_ascii=False))
    elif output is None and not dry_run:
        typer.echo(script.printed() if script else processor_text(filters), nl=False)
    names = [*(script.names() if script else ()), *([PROCESSOR_FILE] if wants_processor else [])]
    if dry_run and not as_json:
        page().print(f"{len(filters.filters)} filters, {dialect}: " + ", ".join(names) + " (nothing written)")
    elif output is not None and not dry_run:
        if script:
            script.write(output)
        if wants_processor:
            output.mkdir(parents=True, exist_ok=True)
            (output / PROCESSOR_FILE).write_text(processor_text(filters), "utf-8")
        if not as_json:
            page().print("\n".join(escape(str(output / name)) for name in names))


@app.command(name="test")
def try_events(
    events: Annotated[
        str, typer.Argument(metavar="EVENTS|-", help="JSON or JSON lines: raw records, header rows, or events.")
    ],
    *,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Show which filters match which events, and why the others do not. Nothing needs to run."""
    filters_file, settings = chosen(file)
    text = sys.stdin.read() if events == "-" else _read(Path(events))
    with told(filters_file.path):
        filters = filters_file.read()
    try:
        samples = read_samples(text, _copied_fields())
    except SampleError as error:
        remedy = "Give raw records, rows of event_headers or events for the producer: one, an array, or one a line."
        raise StackError(f"{events} holds no events: {error}.", remedy) from error
    if as_json:
        typer.echo(json.dumps([_outcome(each, filters, settings.topic_suffix) for each in samples], ensure_ascii=False))
    else:
        _show(samples, filters, settings.topic_suffix)


def _copied_fields() -> list[tuple[str, str]]:
    """Return what the producer copies into the header, by its own variable (FL-21)."""
    entries = (entry.strip().partition(".") for entry in os.environ.get("HEADER_ENTITY_FIELDS", "").split(","))
    return [(kind, name) for kind, _, name in entries if name]


def _outcome(sample: Sample, filters: FilterSet, suffix: str) -> dict[str, Any]:
    body: dict[str, Any] = {"id": sample.id, "form": str(sample.form), "dead_letter": sample.fault, "filters": []}
    if sample.record is None:
        return body
    for one in filters.filters:
        found = explain(one, sample.record)
        entry = {
            "id": one.id,
            "topic": one.output_topic + suffix,
            "runs": one.runs_on_flink,
            "matches": found.verdict is True,
            "verdict": found.verdict,
        }
        for name, checks in (("checks", found.checks), ("decisive", found.decisive)):
            entry[name] = [
                {"condition": each.text, "found": each.found, "verdict": each.verdict, "implied": each.implied}
                for each in checks
            ]
        body["filters"].append(entry)
    return body


def _show(samples: list[Sample], filters: FilterSet, suffix: str) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("event", "filter", "", "goes to, or why not"):
        table.add_column(heading, overflow="fold")
    for sample in samples:
        record = sample.record
        if record is None:
            table.add_row("-", "", "[red]dead letter[/]", escape(str(sample.fault)))
            continue
        name = escape(f"{record.get('event_type')} {sample.id}")
        for one in filters.filters:
            found = explain(one, record)
            off = "" if one.runs_on_flink else f" ({_why_off(one.enabled)})"
            if found.verdict is True:
                table.add_row(name, one.id, "[green]matches[/]" + off, one.output_topic + suffix)
            else:
                table.add_row(name, one.id, "no" + off, escape(_reason(found)))
            name = ""
    page().print(table)


def _why_off(enabled: bool) -> str:
    return "not in the job" if enabled else "disabled"


def _reason(found: Explanation) -> str:
    parts = [f"{each.text}, but it is {'null' if each.found is None else repr(each.found)}" for each in found.decisive]
    return "; ".join(parts)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{file} cannot be read ({error}).", "Give a JSON file, or - for standard input.") from error


app.command()(filter_deploy_commands.diff)
app.command()(filter_deploy_commands.deploy)
app.command()(filter_deploy_commands.rollback)
app.command()(filter_state_commands.approve)
app.command()(filter_state_commands.disable)
app.command()(filter_deploy_commands.cleanup)
app.command()(filter_state_commands.backups)
