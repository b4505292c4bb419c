"""Owns `headwater filters diff|deploy|rollback|cleanup`: their options and what they print."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

import schemas
from cdc.errors import CdcError
from cdc.topics import create_topics
from flink_jobs.dialects import ValueFormat
from flink_jobs.filters import parse_filters
from flink_jobs.lifecycle.cleanup import Leftover, leftovers, remove
from flink_jobs.lifecycle.deployment import Deployment, TopicError, refuse_unapproved, running
from flink_jobs.lifecycle.deployment import deploy as deployed
from flink_jobs.lifecycle.differences import Difference, difference
from flink_jobs.lifecycle.file import FilterFile
from flink_jobs.lifecycle.rollback import find_earlier
from flink_jobs.lifecycle.topics import Broker
from flink_jobs.rest import FlinkRest
from flink_jobs.settings import FlinkSettings
from flink_jobs.submission import Submitter
from stack import filter_confluent
from stack.errors import StackError
from stack.filter_settings import File, chosen, told
from stack.filter_state_commands import By, person
from stack.terminal import AsJson, console, page

Cloud = Literal["local", "confluent"]
Force = Annotated[bool, typer.Option("--force", help="Approve, in your name, what nobody has approved.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds within which the new job must run.")]

DIFFERENT = 2
"""How `diff` ends when there is a difference; 0 means none, 1 an error, as `terraform plan -detailed-exitcode` does."""


def diff(*, file: File = None, as_json: AsJson = False) -> None:
    """Compare the file with what runs, filter by filter and in SQL; exit 0: the same, 2: different, 1: an error."""
    filters_file, settings = chosen(file)
    with told(filters_file.path), _cluster(settings) as submitter:
        filters, runs = filters_file.read(), running(submitter)
        if runs.job is not None and runs.ran is None:
            raise StackError(
                f"Job {runs.job.id} runs, and which filters it was made from is not recorded.",
                "`headwater filters deploy` puts the file in its place, and records it.",
            )
        empty = filters.model_copy(update={"filters": ()})
        found = difference(runs.ran.filters if runs.ran else empty, filters, settings.places)
    if as_json:
        body = {"file": str(filters_file.path), "job": runs.job.id if runs.job else None, "plan": runs.digest}
        typer.echo(json.dumps(body | found.as_dict(), ensure_ascii=False))
    else:
        _show_difference(found, runs=runs.job is not None)
    raise typer.Exit(DIFFERENT if found else 0)


def deploy(  # one option each
    *,
    target: Annotated[Cloud, typer.Option(help="The Flink cluster, or Confluent Cloud.")] = "local",
    force: Force = False,
    by: By = None,
    timeout: Timeout = 60,
    value_format: Annotated[ValueFormat, typer.Option(help="Confluent: the form of values.")] = ValueFormat.JSON,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Bring the file's filters into the running job: what runs is replaced where it stopped reading, or not at all."""
    filters_file, settings = chosen(file, write=True, compiles=target == "local")
    if target == "confluent":
        filter_confluent.deploy(
            filters_file, settings, value_format, by=by or person(), force=force, timeout=timeout, as_json=as_json
        )
        return
    with told(filters_file.path), _cluster(settings) as submitter:
        done = _deploy(filters_file, settings, submitter, by=by or person(), force=force, timeout=timeout)
    if as_json:
        typer.echo(json.dumps({"file": str(filters_file.path), **done.as_dict()}))
    else:
        page().print(_in_words(done))


def rollback(  # one option each
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="[BACKUP|REVISION]", help="A backup, or a git revision. [default: what was deployed before]"
        ),
    ] = None,
    *,
    and_deploy: Annotated[bool, typer.Option("--deploy/--no-deploy", help="Bring it into the running job.")] = True,
    force: Force = False,
    by: By = None,
    timeout: Timeout = 60,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Put earlier filters into the file, after a backup of it, and deploy them."""
    filters_file, settings = chosen(file, write=True, compiles=True)
    with told(filters_file.path), _cluster(settings) as submitter:
        filters_file.check_writable()
        needs_cluster = and_deploy or wanted is None
        runs = running(submitter) if needs_cluster else None
        before = submitter.records.previous(runs.digest) if runs else None
        earlier = find_earlier(filters_file, wanted, before)
        if runs and and_deploy and not force:
            refuse_unapproved(parse_filters(earlier.document), runs.find)
        saved = filters_file.backup()
        filters_file.restore(earlier.document)
        if not as_json:
            console.print(f"{filters_file.path} is {earlier.kind} {earlier.name} again; before, it was {saved.name}.")
        done = None
        if and_deploy:
            done = _deploy(filters_file, settings, submitter, by=by or person(), force=force, timeout=timeout)
    if as_json:
        body: dict[str, Any] = {"file": str(filters_file.path), "kind": earlier.kind, "name": earlier.name}
        typer.echo(json.dumps({**body, "backup": saved.name, "deployment": done.as_dict() if done else None}))
    elif done:
        page().print(_in_words(done))


def cleanup(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """List topics, consumer groups and plans that no filter names any more, and remove them after a question."""
    filters_file, settings = chosen(file)
    with told(filters_file.path), _cluster(settings) as submitter:
        broker = Broker(settings.kafka_bootstrap_servers)
        found = leftovers(filters_file.read(), settings, submitter, running(submitter), broker)
        ours = [each for each in found if each.ours]
        if not as_json:
            _show_leftovers(found)
        if not ours or dry_run:
            sure = False
        elif yes:
            sure = True
        else:
            # Without --yes a program is not asked, and nothing is removed.
            sure = not as_json and typer.confirm(f"Remove these {len(ours)}?", err=True)
        removed = remove(ours, settings, broker) if sure else []
    if as_json:
        body = {"found": [each.as_dict() for each in found], "removed": [each.as_dict() for each in removed]}
        typer.echo(json.dumps(body))
    elif ours and not dry_run:
        page().print(f"{len(removed)} removed.")


def make_topics(settings: FlinkSettings, names: Sequence[str]) -> list[str]:
    """Create those of these output topics that are missing, as every topic of the stack is created.

    Raises:
        TopicError: The broker refuses one or does not answer.
    """
    try:
        return list(create_topics(settings.kafka_bootstrap_servers, {}, map(schemas.filtered_topic, names)))
    except CdcError as error:
        raise TopicError(str(error)) from error


def _deploy(
    file: FilterFile, settings: FlinkSettings, submitter: Submitter, *, by: str, force: bool, timeout: float
) -> Deployment:
    def missing(names: Sequence[str]) -> list[str]:
        return make_topics(settings, names)

    return deployed(file, settings, submitter, missing, by=by, force=force, timeout=timeout)


@contextmanager
def _cluster(settings: FlinkSettings) -> Iterator[Submitter]:
    with FlinkRest(settings.flink_rest_url) as rest:
        yield Submitter(settings, rest)


def _in_words(done: Deployment) -> str:
    if not done.changed and done.backup is None:
        return f"Job {done.job_id} runs these filters already; nothing was done."
    parts = [f"job {done.job_id} runs" if done.changed else f"job {done.job_id} was not touched, its SQL is the same"]
    parts += [f"deployed: {', '.join(done.deployed)}"] if done.deployed else []
    parts += [f"topics created: {', '.join(done.topics_created)}"] if done.topics_created else []
    return "; ".join((*parts, f"backup {done.backup}"))


def _show_difference(found: Difference, *, runs: bool) -> None:
    out = page()
    if not runs:
        out.print("No job runs; everything is new.")
    if not found:
        out.print("The file is what runs.")
    for change in found.changes:
        mark = {"added": "[green]+[/]", "removed": "[red]-[/]"}.get(change.kind, "[yellow]~[/]")
        note = " (its approval is void)" if change.needs_approval else ""
        note += " (runs, and is not in the file)" if change.kind == "removed" else ""
        out.print(f"{mark} {change.id}: {change.kind}{note}")
        for field in change.fields:
            old, new = (json.dumps(each, ensure_ascii=False) for each in (field.runs, field.file))
            out.print(f"    {field.field}: {escape(old)} → {escape(new)}", soft_wrap=True)
    for line in found.sql:
        colour = {"+": "green", "-": "red"}.get(line[:1])
        text = escape(line)
        out.print(f"[{colour}]{text}[/]" if colour else text, soft_wrap=True)


def _show_leftovers(found: Sequence[Leftover]) -> None:
    out = page()
    if not found:
        out.print("Nothing is left over.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("kind", "name", "records", "removed by cleanup", ""):
        table.add_column(heading, overflow="fold")
    for each in found:
        remark = f"[bold red]{escape(each.remark)}[/]" if each.unread else escape(each.remark)
        count = str(each.records) if each.kind == "topic" and each.ours else "-"
        table.add_row(each.kind, each.name, count, "yes" if each.ours else "no", remark)
    out.print(table)
