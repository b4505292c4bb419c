"""Owns which installation and which file `headwater filters …` means.

The file: `--file`, else `FILTERS_FILE`, else the one that the running stack was started with, which is by default
`filters.json` in its state folder, a copy of the shipped one. The cluster and the broker: the Flink stage's own
variables (`FLINK_REST_URL`, `KAFKA_BOOTSTRAP_SERVERS`, …), and where those are not set, the local stack. Must never
act.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from flink_jobs.cluster.rest import FlinkError
from flink_jobs.dialects import DialectError
from flink_jobs.filters import FilterError
from flink_jobs.lifecycle.cleanup import CleanupError
from flink_jobs.lifecycle.deployment import DeploymentError, TopicError, UnapprovedError
from flink_jobs.lifecycle.file import FileError, FilterFile
from flink_jobs.lifecycle.rollback import RollbackError
from flink_jobs.lifecycle.states import MoveError
from flink_jobs.settings import FlinkSettings
from stack import pipeline
from stack.errors import StackError
from stack.flink_settings import flink_settings
from stack.local import LocalStack, current_stack

File = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="The filter file. [default: FILTERS_FILE, else that of the local stack]"),
]


def chosen(file: Path | None, *, write: bool = False, compiles: bool = False) -> tuple[FilterFile, FlinkSettings]:
    """Return the filter file that is meant, and the settings around it.

    Args:
        file: What the user has named.
        write: Whether it is to be written: then the local stack's own copy is made if it is missing.
        compiles: Whether a plan is to be compiled: then the connector must be there.

    Raises:
        StackError: A variable is wrong, or there is no such file.
    """
    stack = current_stack()
    path = (file or _own(stack, write=write)).absolute()
    settings = _settings(stack, path, jars=compiles)
    return FilterFile(path, settings.lifecycle_dir), settings


def _own(stack: LocalStack, *, write: bool) -> Path:
    if named := os.environ.get("FILTERS_FILE"):
        return Path(named)
    file = pipeline.filters_file(stack.settings, stack.state)
    # To read, the shipped one will do; a command that only looks leaves nothing behind.
    return pipeline.prepare_filters(stack.settings, stack.state) if write or file.exists() else pipeline.SHIPPED


def _settings(stack: LocalStack, path: Path, *, jars: bool) -> FlinkSettings:
    local = pipeline.job_environment(stack.settings, stack.state)
    # Planning starts a JVM, in a process that inherits this.
    os.environ.setdefault("JAVA_HOME", local.pop("JAVA_HOME"))
    if not jars:
        local.pop("FLINK_CONNECTOR_JARS")
        local.pop("FLINK_AVRO_JARS", None)
    given: dict[str, Any] = {name.lower(): value for name, value in local.items() if not os.environ.get(name)}
    remedy = "Correct the environment variables; `headwater up` fetches what the local stack lacks."
    return flink_settings(given | {"filters_file": path}, remedy)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what is wrong with a filter file, the cluster or the broker into an error that a person can act on."""
    try:
        yield
    except FilterError as error:
        remedy = f"Correct it; `headwater filters validate {path}` tells all of it."
        raise StackError(f"{path}: {error}.", remedy) from error
    except DialectError as error:
        raise StackError(f"{error}.", "Change the filter or the setting it names.") from error
    except (FileError, MoveError, RollbackError, CleanupError, UnapprovedError) as error:
        raise StackError(f"{error}.", "Nothing was changed.") from error
    except DeploymentError as error:
        raise StackError(
            f"The deployment failed: {error}.", "What ran before runs on. Mend the cause and run the command again."
        ) from error
    except FlinkError as error:
        raise StackError(f"{error}.", "Start the stack with `headwater up`, or set FLINK_REST_URL.") from error
    except TopicError as error:
        raise StackError(f"{error}.", "Start the stack with `headwater up`, or set KAFKA_BOOTSTRAP_SERVERS.") from error
