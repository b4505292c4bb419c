"""Owns one local stack: which services it has, in which order they stop, and what must be prepared before each starts.

Must never print; `up` and `status` do.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import psutil

from stack import connect, dynamodb, flink, java, kafka, maven, pipeline, postgres, registry, restarts
from stack.errors import StackError
from stack.functions import services as functions
from stack.service import Service
from stack.settings import CdcEngine, StackSettings
from stack.state import State
from stack.supervision import Process, Supervisor, leftovers

SERVICES = ("postgres", "kafka", "flink-jobmanager", "flink-taskmanager", "cdc", "producer")
HELPERS = (pipeline.JOB_KEEPER,)
ENGINES: dict[CdcEngine, str] = {"native": "cdc", "debezium": connect.SERVICE}
"""The service that carries the changes, by the user's choice."""

_BUNDLES = ("kafka", "flink-kafka")

_STAYS = ("cdc", "value_format", "registry_url")

_STARTUP_SECONDS = 120
_SUPERVISOR_SECONDS = 15
_STOP_SECONDS = 15
_SETTLE_SECONDS = 3
_START_TRIES = 4
"""A service that died this often while it was waited for will not come up by waiting."""


class LocalStack:
    """Start, watch and stop the services of one state folder.

    Args:
        settings: Where the state lives, and the ports.
    """

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.state = State(settings.state_dir)
        self.supervisor = Supervisor(self.state)
        self.cancelled = Event()
        self._supervisord: subprocess.Popen[bytes] | None = None
        self._prepare: dict[str, Callable[[], object]] = {
            "postgres": lambda: postgres.initialise(self.state),
            "kafka": lambda: kafka.prepare(settings, self.state),
            "flink-jobmanager": lambda: flink.prepare(settings, self.state),
            pipeline.JOB_KEEPER: lambda: pipeline.prepare_filters(settings, self.state),
            connect.SERVICE: lambda: connect.prepare(settings, self.state),
            functions.LAMBDA: lambda: functions.prepare(settings, self.state),
        }

    def services(self) -> dict[str, Service]:
        """Return the description of every service and helper by name, both engines among them."""
        described = (
            postgres.service(self.settings, self.state),
            kafka.service(self.settings, self.state),
            *flink.services(self.settings, self.state),
            pipeline.cdc(self.settings),
            connect.service(self.settings, self.state),
            registry.service(self.settings),
            pipeline.producer(self.settings, self._producer_environment()),
            pipeline.job_keeper(self.settings, self.state),
            *(functions.services(self.settings, self.state) if self.settings.functions else ()),
        )
        return {service.name: service for service in described}

    def _producer_environment(self) -> dict[str, str]:
        return functions.producer_environment(self.settings, self.state) if self.settings.functions else {}

    @property
    def engine(self) -> str:
        """Return the name of the service that carries the changes in this stack."""
        return ENGINES[self.settings.cdc]

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the services that this stack runs: one engine of the two, and a registry where it is needed."""
        chosen = [self.engine if name in ENGINES.values() else name for name in SERVICES]
        more = (registry.SERVICE,) if self.settings.runs_registry else ()
        return (*chosen, *more, *(functions.SERVICES if self.settings.functions else ()))

    @property
    def helpers(self) -> tuple[str, ...]:
        """Return the processes of this stack that no user talks to."""
        return (*HELPERS, *(functions.HELPERS if self.settings.functions else ()))

    def missing_archives(self) -> tuple[maven.Jar, ...]:
        """Return the Java archives that the cache does not hold yet."""
        bundles = (*_BUNDLES, connect.BUNDLE) if self.settings.cdc == "debezium" else _BUNDLES
        bundles = (*bundles, "flink-avro") if self.settings.value_format == "avro" else bundles
        bundles = (*bundles, dynamodb.BUNDLE) if self.settings.functions else bundles
        return maven.missing(bundles, self.settings.cache_dir)

    def open(self) -> None:
        """Start the supervisor, with no service running, after fetching what the cache lacks.

        Raises:
            StackError: The state folder, the network or the supervisor fails.
        """
        self.state.create()
        maven.fetch(self.missing_archives(), self.settings.cache_dir, maven.silent)
        if self.settings.runs_registry:
            registry.unpacked(self.settings.cache_dir)
        # Kept, so that this process reaps it when both end together.
        self._supervisord = process = self.supervisor.launch(list(self.services().values()))
        deadline = time.monotonic() + _SUPERVISOR_SECONDS
        while not self.supervisor.alive:
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError("The supervisor does not start.", f"See {self.state.logs / 'supervisord.out'}.")
            self.cancelled.wait(0.02)
        self.state.save(self.settings)

    def start(self, *names: str) -> None:
        """Prepare and start services that do not run yet, then wait until each is ready.

        Raises:
            StackError: One does not become ready in time, with the end of its log.
        """
        services = self.services()
        processes = self.supervisor.processes()
        # A service may have been started before: by a change of engines, or after a kill.
        before = restarts.read(self.state.starts)
        for name in names:
            if processes[name].state in ("STOPPED", "EXITED", "FATAL"):
                self._prepare.get(name, lambda: None)()
                self.supervisor.start(name)
        for name in names:
            self.wait_until_ready(services[name], earlier=before.get(name, 0))

    def wait_until_ready(self, service: Service, seconds: float = _STARTUP_SECONDS, earlier: int | None = None) -> None:
        """Wait until a started service answers.

        Args:
            service: Which one.
            seconds: How long.
            earlier: How often it was started before this time; by default, until now.

        Raises:
            StackError: It does not in this time, or the start was cancelled.
        """
        deadline = time.monotonic() + seconds
        before = self._starts(service) if earlier is None else earlier
        while not service.ready():
            if self.cancelled.wait(0.05):
                raise StackError("The start was cancelled.", "Run the command again.")
            process = self.supervisor.processes().get(service.name)
            if process is None:
                reason = "the supervisor is gone"
            elif self._starts(service) - before > _START_TRIES:
                reason = "it keeps dying"
            elif time.monotonic() > deadline:
                reason = f"{process.state} after {seconds:.0f} s"
            else:
                continue
            raise StackError(
                f"{service.name} is not ready: {reason}.\n{self.log_tail(service.name)}",
                f"See `headwater logs {service.name}`.",
            )

    def _starts(self, service: Service) -> int:
        return restarts.read(self.state.starts).get(service.name, 0)

    def settle(self, seconds: float = _SETTLE_SECONDS) -> None:
        """Wait until the supervisor counts every process as running, as it does a second after its start."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(process.state != "STARTING" for process in self.processes().values()):
                return
            self.cancelled.wait(0.05)

    def remember_classes(self) -> None:
        """Let each Java service write down its parsed classes, unless it did so before: later starts are quicker."""
        processes = self.supervisor.processes()
        for service in self.services().values():
            if service.class_data is not None and not service.class_data.exists() and processes[service.name].pid:
                java.dump_class_data(processes[service.name].pid, service.class_data, self.state.root)

    def processes(self) -> dict[str, Process]:
        """Return every service and helper as the supervisor sees it; empty when nothing runs."""
        return self.supervisor.processes()

    def log_file(self, name: str) -> Path:
        """Return the log of a service."""
        return self.state.logs / f"{name}.log"

    def log_tail(self, name: str, lines: int = 15) -> str:
        """Return the last lines of a service's log."""
        try:
            text = self.log_file(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """Stop every service in order, then the supervisor, then whatever is left of this stack. Safe at any moment."""
        processes = self.supervisor.processes()
        if processes:
            self._stop_in_order(processes)
            self.supervisor.shutdown()
        remaining = leftovers(self.state)
        _gone, alive = psutil.wait_procs(remaining, timeout=5 if processes else 0)
        for process in alive:
            process.terminate()
        _gone, alive = psutil.wait_procs(alive, timeout=5)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)
        if self._supervisord is not None:
            try:
                self._supervisord.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._supervisord.kill()
                self._supervisord.wait()

    def _stop_in_order(self, processes: dict[str, Process]) -> None:
        def stop(*names: str) -> None:
            known = [name for name in names if name in processes]
            running = [name for name in known if processes[name].state in ("STARTING", "RUNNING", "BACKOFF")]
            for name in running:
                self.supervisor.stop(name)
            deadline = time.monotonic() + _STOP_SECONDS
            while time.monotonic() < deadline:
                now = self.supervisor.processes()
                if all(now[name].state in ("STOPPED", "EXITED", "FATAL") for name in running):
                    return
                time.sleep(0.05)

        # Before the database: one of them starts it again as long as its cluster is available.
        stop(*functions.HELPERS)
        # Downstream last: what the producer accepted is carried on, then the keeper's last checkpoint holds all of it.
        stop("producer")
        stop(*functions.SERVICES)
        stop(*ENGINES.values())
        stop(pipeline.JOB_KEEPER)
        stop("flink-jobmanager", "flink-taskmanager")
        stop(registry.SERVICE)
        stop("kafka", "postgres")


def current_stack() -> LocalStack:
    """Return the running stack with the settings it was started with, or a stopped one with the present settings."""
    present = StackSettings()
    recorded = State(present.state_dir).load()
    if recorded is not None and (running := LocalStack(recorded)).supervisor.alive:
        return running
    # Which engine the slot belongs to, and what the topics hold, is the stack's to say, not the present settings'.
    kept = {} if recorded is None else {name: getattr(recorded, name) for name in _STAYS}
    return LocalStack(present.model_copy(update=kept))
