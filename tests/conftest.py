"""Session fixtures on the real embedded parts: PostgreSQL, Kafka and Flink, started once on free ports."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest
from psycopg import sql
from xdist.scheduler import LoadScopeScheduling

from stack.local import LocalStack
from stack.ports import own_settings
from stack.settings import StackSettings

_RUN = "HEADWATER_TEST_RUN"
"""Variable of every process of one run of the tests, by which whatever is left of it is found."""

_END_SECONDS = 30

_MOST_PROCESSES = 6
_PROCESS_BYTES = 4 * 2**30
"""Of the machine's memory, for each process that runs tests and its services."""


def pytest_configure() -> None:
    """Mark the processes of this run; those that run tests side by side have the mark already."""
    os.environ.setdefault(_RUN, uuid4().hex)


def pytest_unconfigure() -> None:
    """End what is left of this run: after Ctrl-C, processes that run tests may be gone before their services are."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    left = [process for process in psutil.process_iter() if _is_ours(process)]
    for process in left:
        with suppress(psutil.Error):
            sys.stderr.write(f"left behind, ended now: {' '.join(process.cmdline())[:150]}\n")
            process.terminate()
    _gone, alive = psutil.wait_procs(left, timeout=_END_SECONDS)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()


def _is_ours(process: psutil.Process) -> bool:
    try:
        if process.pid == os.getpid() or process.environ().get(_RUN) != os.environ[_RUN]:
            return False
        # Python's own, which ends with this process and not before.
        return "resource_tracker" not in " ".join(process.cmdline())
    except (psutil.Error, OSError):
        return False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured: their `record_property("figure", …)`, from whichever process."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(str(value))


class ByModule(LoadScopeScheduling):
    """Hand out modules whole, so that their fixtures start once; all with containers go together, for their engine."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.split("::", maxsplit=1)[0]
        return "containers" if module.startswith("tests/compose/") else module


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share out a run of everything; what is named by a path or a word starts no second set of services.

    Each process has services of its own, about 3 GB. More of them than cores would be a few minutes faster, and make
    everything wait that is measured.
    """
    chosen = config.option.keyword or config.option.markexpr or config.option.lf
    if chosen or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return min(os.cpu_count() or 1, _MOST_PROCESSES, psutil.virtual_memory().total // _PROCESS_BYTES)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    """Share the tests out by our own rule."""
    return ByModule(config, log)


@pytest.fixture(autouse=True)
def _no_credentials_of_others() -> None:
    """Forget the SDK's own session: it keeps the credentials that were in the environment when it was first asked."""
    if (boto3 := sys.modules.get("boto3")) is not None:
        boto3.DEFAULT_SESSION = None


@pytest.fixture(scope="session")
def state_folder() -> Iterator[Path]:
    """A folder for services, apart from pytest's own.

    When another run starts, pytest closes the parent of that to other accounts, and PostgreSQL, which root lends an
    account, would lose its data folder.
    """
    with tempfile.TemporaryDirectory(prefix="headwater-tests-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def stack_settings(state_folder: Path) -> StackSettings:
    """Settings of the session's own stack: a folder of its own and free ports."""
    return own_settings(state_folder / "session")


@pytest.fixture(scope="session")
def local_stack(stack_settings: StackSettings) -> Iterator[LocalStack]:
    """The supervisor of the session; services join it when a test first asks for them."""
    stack = LocalStack(stack_settings)
    stack.open()
    try:
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="session")
def postgres(local_stack: LocalStack) -> "Postgres":
    """The embedded PostgreSQL 18 with logical replication."""
    local_stack.start("postgres")
    return Postgres(local_stack.settings.database_url.rsplit("/", 1)[0])


@pytest.fixture(scope="session")
def kafka_bootstrap(local_stack: LocalStack) -> str:
    """The bootstrap address of the embedded broker, without any topic."""
    local_stack.start("kafka")
    return local_stack.settings.kafka_bootstrap


@pytest.fixture(scope="session")
def flink_rest_url(local_stack: LocalStack) -> str:
    """The REST address of the embedded session cluster, without any job."""
    local_stack.start("flink-jobmanager", "flink-taskmanager")
    return local_stack.settings.flink_url


class Postgres:
    """A running server."""

    def __init__(self, base: str) -> None:
        self.base = base

    def dsn(self, database: str) -> str:
        """Return the URI of one database."""
        return f"{self.base}/{database}"


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A fresh empty database, dropped after the test together with its replication slots."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres.dsn(name)
        admin.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE database = %s AND active_pid IS NOT NULL",
            (name,),
        )
        slots = admin.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", (name,)).fetchall()
        for (slot,) in slots:
            admin.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
