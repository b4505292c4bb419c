"""The commands of the Flink stage: `python -m flink_jobs submit|keep|sql|status|check`."""

import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated, TypeVar

import structlog
import typer
from pydantic import ValidationError

from flink_jobs.cluster.ending import SubmissionError
from flink_jobs.cluster.gateway import gateway_way
from flink_jobs.cluster.keeper import Keeper
from flink_jobs.cluster.rest import FlinkError, FlinkRest
from flink_jobs.cluster.status import job_status
from flink_jobs.cluster.submission import Submitter
from flink_jobs.compiling import StoppedError
from flink_jobs.dialects import Dialect, DialectError, Inserts, ValueFormat, make
from flink_jobs.filters import FilterError, load_filters
from flink_jobs.plan import PlanError
from flink_jobs.settings import FlinkSettings, SqlSettings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Run the filters as one Flink job.")

_Seconds = Annotated[float, typer.Option(min=0)]


@app.command()
def submit(
    wait_for_cluster: _Seconds = 0,
    timeout: _Seconds = 60,
    gateway: Annotated[str | None, typer.Option(metavar="URL", help="Submit by this Flink SQL gateway.")] = None,
) -> None:
    """Submit the job of the current filters, and exit 0 once all of it runs.

    A running job of the same filters is left alone; one of other filters makes room with a savepoint, and comes back
    if the new one does not run.
    """
    with _stage() as (settings, rest):
        submitter = Submitter(settings, rest)
        digest = submitter.planner.prepare()
        submitter.wait_for_cluster(wait_for_cluster)
        job = submitter.deploy(digest, timeout, way=gateway_way(submitter, digest, gateway))
        typer.echo(f"{job.name} runs as {job.id}")


@app.command()
def keep() -> None:
    """Keep the job in the cluster until SIGTERM: submit it whenever it is missing, from its newest checkpoint."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _stage() as (settings, rest):
        try:
            Keeper(settings, rest, Submitter(settings, rest)).run(stop)
        except StoppedError:
            return


@app.command()
def sql(
    dialect: Annotated[Dialect, typer.Option(help="The service that is to run it.")] = Dialect.LOCAL,
    output: Annotated[Path | None, typer.Option(help="A folder to write to: for Confluent a file a call.")] = None,
    value_format: Annotated[ValueFormat, typer.Option(help="Confluent: the form of values.")] = ValueFormat.JSON,
    inserts: Annotated[Inserts, typer.Option(help="Confluent: one statement for all, or for each.")] = Inserts.SET,
) -> None:
    """Print the SQL of the current filters, or write it to a folder."""
    with _told(SqlSettings) as settings:
        made = make(load_filters(settings.filters_file), settings, dialect, value_format, inserts)
        if output is None:
            typer.echo(made.printed(), nl=False)
        else:
            made.write(output)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the job's state, its newest checkpoint and how many records it could not read."""
    with _stage() as (settings, rest):
        found = asdict(job_status(settings, rest))
    typer.echo(json.dumps(found) if as_json else "\n".join(f"{key}: {value}" for key, value in found.items()))


@app.command()
def check() -> None:
    """Exit 0 if the whole job runs, 1 if not: what a container's health is judged by."""
    with _stage() as (settings, rest):
        runs = any(job.runs_whole for job in rest.jobs() if job.name == settings.flink_job_name)
    raise typer.Exit(0 if runs else 1)


_S = TypeVar("_S", bound=SqlSettings)


@contextmanager
def _stage() -> Iterator[tuple[FlinkSettings, FlinkRest]]:
    """Give settings and cluster."""
    with _told(FlinkSettings) as settings, FlinkRest(settings.flink_rest_url) as rest:
        yield settings, rest


@contextmanager
def _told(kind: type[_S]) -> Iterator[_S]:
    """Give settings of this kind; a failure that a user can mend is told in a sentence, with status 1 or 2."""
    try:
        settings = kind()
    except ValidationError as error:
        faults = (f"{str(each['loc'][0] if each['loc'] else '').upper()}: {each['msg']}" for each in error.errors())
        sys.stderr.write("the Flink stage is not configured: " + "; ".join(faults) + "\n")
        raise typer.Exit(2) from None
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield settings
    except FilterError as error:
        sys.stderr.write(f"{settings.filters_file}: {error}\n")
        raise typer.Exit(1) from error
    except (DialectError, PlanError, FlinkError, SubmissionError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
