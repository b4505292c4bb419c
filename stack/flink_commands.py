"""Owns `headwater flink …`: what an operator does with the one job of the filters, on the local stack or elsewhere.

Without `--rest` they mean the running local stack; with it the cluster at that address, whose broker, folders and
filters the Flink stage's own variables name (`KAFKA_BOOTSTRAP_SERVERS`, `FLINK_CHECKPOINT_DIR`, …). Must never know how
a job is submitted or ended; `flink_jobs` does.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flink_jobs.cluster.checkpoints import is_complete, location
from flink_jobs.cluster.ending import SubmissionError
from flink_jobs.cluster.gateway import gateway_way
from flink_jobs.cluster.registry import RegistryError
from flink_jobs.cluster.rest import FlinkError, FlinkRest, Job
from flink_jobs.cluster.status import job_status
from flink_jobs.cluster.submission import Submitter
from flink_jobs.filters import FilterError
from flink_jobs.plan import PlanError
from flink_jobs.settings import FlinkSettings
from stack import java, pipeline
from stack.errors import StackError
from stack.flink_settings import flink_settings
from stack.local import current_stack
from stack.terminal import AsJson, page

app = typer.Typer(add_completion=False, no_args_is_help=True)

_SAVEPOINT_SECONDS = 60

Rest = Annotated[
    str | None, typer.Option("--rest", metavar="URL", help="Flink's REST endpoint. [default: the local stack's]")
]
Timeout = Annotated[float, typer.Option(min=0, help="How many seconds the job may take to run.")]


@dataclass(frozen=True, slots=True)
class _Stage:
    settings: FlinkSettings
    rest: FlinkRest
    submitter: Submitter

    def alive(self) -> Job:
        """Return the job that has not ended."""
        job = self.submitter.look().alive
        if job is None:
            raise StackError(f"No job {self.settings.flink_job_name} runs.", "Start it with `headwater flink submit`.")
        return job


@app.callback()
def _group() -> None:
    """Look after the Flink job of the filters."""


@app.command()
def submit(
    *,
    rest: Rest = None,
    gateway: Annotated[str | None, typer.Option(metavar="URL", help="Submit by this Flink SQL gateway.")] = None,
    timeout: Timeout = 60,
    as_json: AsJson = False,
) -> None:
    """Submit the job of the current filters and wait until all of it runs; if it does not, the old one runs on."""
    with _stage(rest) as stage:
        digest = stage.submitter.planner.prepare()
        job = stage.submitter.deploy(digest, timeout, way=gateway_way(stage.submitter, digest, gateway))
    _tell({"id": job.id, "name": job.name, "state": "RUNNING", "plan": digest}, f"{job.name} runs as {job.id}", as_json)


@app.command()
def status(*, rest: Rest = None, as_json: AsJson = False) -> None:
    """Show the job's state, tasks, restarts and checkpoints, and how many records it could not read."""
    with _stage(rest) as stage:
        found = asdict(job_status(stage.settings, stage.rest))
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in found.items():
        table.add_row(name.replace("_", " "), escape(_words(value)))
    page().print(table)


@app.command()
def savepoint(
    *,
    rest: Rest = None,
    target: Annotated[str | None, typer.Option(help="Where to, as the cluster sees it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take a savepoint of the running job and print its path; it is yours, nothing here ever removes it."""
    with _stage(rest) as stage:
        job = stage.alive()
        request = stage.rest.trigger_savepoint(job.id, target or location(stage.settings.flink_savepoint_dir))
        path = stage.rest.wait_for_savepoint(job.id, request, _SAVEPOINT_SECONDS)
    _tell({"job": job.id, "savepoint": path}, path, as_json)


@app.command()
def cancel(
    *,
    rest: Rest = None,
    now: Annotated[bool, typer.Option("--now", help="Without a savepoint; its checkpoints stay.")] = False,
    as_json: AsJson = False,
) -> None:
    """End the job after a savepoint, from which the next `submit` goes on; the keeper leaves it ended."""
    with _stage(rest) as stage, stage.submitter.alone():
        job = stage.alive()
        path = None
        if now:
            stage.submitter.ending.cancel(job.id, goes_on=False)
        else:
            path = stage.submitter.ending.stop(job)
        ended = stage.submitter.look().last
    state = ended[1] if ended else "FINISHED"
    words = f"{job.name} has ended" + (f", savepoint {path}" if path else "")
    _tell({"job": job.id, "state": state, "savepoint": path}, words, as_json)


@app.command()
def restore(
    path: Annotated[str, typer.Argument(help="A savepoint or checkpoint: a folder or URI, as the cluster sees it.")],
    *,
    rest: Rest = None,
    timeout: Timeout = 60,
    as_json: AsJson = False,
) -> None:
    """Start the current plan from a savepoint or checkpoint; if it does not run, what ran before goes on."""
    start = path if ":" in path.split("/", 1)[0] else location(Path(path).absolute())
    if not is_complete(start):
        raise StackError(f"{path} is no complete savepoint or checkpoint.", "Give the folder that holds `_metadata`.")
    with _stage(rest) as stage:
        digest = stage.submitter.plans.current or stage.submitter.planner.prepare()
        job = stage.submitter.deploy(digest, timeout, start)
    facts = {"id": job.id, "name": job.name, "state": "RUNNING", "plan": digest, "from": start}
    _tell(facts, f"{job.name} runs as {job.id}, from {start}", as_json)


@contextmanager
def _stage(url: str | None) -> Iterator[_Stage]:
    settings = _settings(url)
    # The program that compiles a plan is Java, and inherits this.
    os.environ.setdefault("JAVA_HOME", str(java.JAVA_HOME))
    with FlinkRest(settings.flink_rest_url) as rest:
        try:
            yield _Stage(settings, rest, Submitter(settings, rest))
        except FilterError as error:
            raise StackError(f"{settings.filters_file}: {error}.", "Correct the filter file.") from error
        except RegistryError as error:
            raise StackError(f"{error}", "See the schema registry.") from error
        except (FlinkError, PlanError, SubmissionError) as error:
            page_of_flink = f"See Flink's web page at {settings.flink_rest_url}."
            raise StackError(f"{str(error)[:1].upper()}{str(error)[1:]}.", page_of_flink) from error


def _settings(url: str | None) -> FlinkSettings:
    given: dict[str, Any] = {} if url is None else {"flink_rest_url": url}
    if url is None:
        stack = current_stack()
        if not stack.supervisor.alive:
            raise StackError("The stack is not running.", "Start it with `headwater up`, or name a cluster by --rest.")
        local = pipeline.job_environment(stack.settings, stack.state)
        given = {name.lower(): value for name, value in local.items() if name.lower() in FlinkSettings.model_fields}
    return flink_settings(given, "Set the variables of that name.")


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {each}" for name, each in value.items())
    return "-" if value is None else str(value)


def _tell(facts: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(words)
