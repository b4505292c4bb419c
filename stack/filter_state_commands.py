"""Owns `headwater filters approve|disable|backups`: what changes a filter's state in the file, and its copies."""

import getpass
import json
import subprocess
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from flink_jobs.filters import Filter, Target
from flink_jobs.lifecycle.file import Change, FilterFile, now
from flink_jobs.lifecycle.records import Ran
from flink_jobs.lifecycle.states import approve as approved
from flink_jobs.lifecycle.states import deprecate, settle, unapproved
from flink_jobs.lifecycle.states import disable as disabled
from flink_jobs.rest import FlinkRest
from flink_jobs.settings import FlinkSettings
from flink_jobs.submission import Submitter
from stack.errors import StackError
from stack.filter_settings import File, chosen, told
from stack.terminal import AsJson, page

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the filter.")]
By = Annotated[str | None, typer.Option("--by", help="Who. [default: git's user.name, else the account]")]
"""For what is written down with a name."""


def approve(
    filter_id: Id,
    *,
    by: By = None,
    target: Annotated[Target | None, typer.Option(help="For one target only. [default: all of the filter]")] = None,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Approve a filter as it is now, for the record with name and time; a later edit makes the approval void."""
    filters_file, settings = chosen(file, write=True)
    name, at = by or person(), now()

    def change(one: Filter) -> Filter:
        return approved(one, (target,) if target else one.targets, name, at)

    before = filters_file.path.read_bytes() if filters_file.path.exists() else b""
    one = _changed(filters_file, settings, filter_id, change)
    if as_json:
        _print(filters_file, one)
        return
    if filters_file.path.read_bytes() == before:
        page().print(f"{one.id}: {one.status}, version {one.version}, approved already")
        return
    left = unapproved(one)
    rest = f"; {' and '.join(left)} still to be approved" if left else ""
    page().print(f"{one.id}: {one.status}, version {one.version}, approved by {escape(name)}{rest}")


def disable(
    filter_id: Id,
    *,
    soft_delete: Annotated[
        bool, typer.Option("--deprecate", help="Delete it softly: it is deprecated as well.")
    ] = False,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Switch a filter off in the file; `headwater filters deploy` takes it out of the job."""
    filters_file, settings = chosen(file, write=True)
    one = _changed(filters_file, settings, filter_id, deprecate if soft_delete else disabled)
    if as_json:
        _print(filters_file, one)
    else:
        page().print(f"{one.id}: disabled, {one.status}; `headwater filters deploy` takes it out of the job")


def backups(*, file: File = None, as_json: AsJson = False) -> None:
    """List the backups of the filter file, newest first; `headwater filters rollback NAME` goes back to one."""
    filters_file, _ = chosen(file)
    found = filters_file.backups()
    if as_json:
        typer.echo(json.dumps([{**asdict(each), "path": str(each.path)} for each in found]))
    else:
        page().print("\n".join(f"{each.name}  {each.made}" for each in found) or "There are no backups.")


def person() -> str:
    """Return the name of whoever is at work: as git knows it, else that of the account."""
    try:
        named = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        named = ""
    return named or getpass.getuser()


def _changed(file: FilterFile, settings: FlinkSettings, filter_id: str, change: Change) -> Filter:
    """Change one filter in the file, after taking an edit by hand into account (FL-36)."""
    ran = _deployed(settings)
    with told(file.path):
        file.check_writable()
        known = [each.id for each in file.read().filters]
        if filter_id not in known:
            raise StackError(f"There is no filter {filter_id!r} in {file.path}.", f"There are {', '.join(known)}.")

        def one_of_them(one: Filter) -> Filter:
            return change(settle(one, ran.find(one.id) if ran else None)) if one.id == filter_id else one

        after = file.update(one_of_them)
    return next(each for each in after.filters if each.id == filter_id)


def _deployed(settings: FlinkSettings) -> Ran | None:
    """Return what was deployed last, by the record: to approve, no cluster need run."""
    with FlinkRest(settings.flink_rest_url) as rest:
        submitter = Submitter(settings, rest)
        return submitter.records.find(submitter.plans.current)


def _print(file: FilterFile, one: Filter) -> None:
    body = one.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    typer.echo(json.dumps({"file": str(file.path), "filter": body}, ensure_ascii=False))
