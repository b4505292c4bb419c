"""Owns the embedded Flink session cluster: its configuration and its two processes. Facts: Flink 2.2 configuration."""

import shutil
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import httpx
import yaml

from flink_jobs.rest import FlinkError, FlinkRest, Job
from stack import java, maven
from stack.service import Service
from stack.settings import HOST, StackSettings
from stack.state import State

_HOME = Path(next(iter(find_spec("pyflink").submodule_search_locations)))  # type: ignore[union-attr, arg-type]

_OPENED = (
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in (
            "java.lang",
            "java.net",
            "java.io",
            "java.nio",
            "sun.nio.ch",
            "java.lang.reflect",
            "java.text",
            "java.time",
            "java.util",
            "java.util.concurrent",
            "java.util.concurrent.atomic",
            "java.util.concurrent.locks",
        )
    ),
)
"""What Flink 2.2's own start scripts open to Java 21 (`env.java.opts.all` of its default configuration)."""


def class_path(settings: StackSettings) -> tuple[Path, ...]:
    """Return Flink's own archives and the Kafka connector; where values are Avro, its format too."""
    bundles = ("flink-kafka", "flink-avro") if settings.value_format == "avro" else ("flink-kafka",)
    added = (jar for name in bundles for jar in maven.class_path(name, settings.cache_dir))
    return (*sorted((_HOME / "lib").glob("*.jar")), *added)


def checkpoints(state: State) -> Path:
    """Return the folder of the job's checkpoints."""
    return state.flink / "checkpoints"


def plans(state: State) -> Path:
    """Return the folder of the compiled plans and of the list of submissions."""
    return state.flink / "plans"


_ANSWER_SECONDS = 2


def _uri(folder: Path) -> str:
    """Return a folder as Flink reads it: its `Path` escapes by itself, and takes `%20` for three characters."""
    return f"file://{folder}"


def _configuration(settings: StackSettings, state: State) -> dict[str, object]:
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": settings.flink_rpc_port,
        "jobmanager.bind-host": HOST,
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": 4,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": settings.flink_port,
        "rest.flamegraph.enabled": True,
        "io.tmp.dirs": str(state.flink / "tmp"),
        "execution.checkpointing.dir": _uri(checkpoints(state)),
        "execution.checkpointing.savepoint-dir": _uri(state.flink / "savepoints"),
        # Memory that fits a laptop; the sums are checked by Flink when the process starts.
        "jobmanager.memory.process.size": "1024m",
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.task.heap.size": "256m",
        "taskmanager.memory.managed.size": "16m",
        "taskmanager.memory.network.min": "32m",
        "taskmanager.memory.network.max": "32m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.off-heap.size": "0m",
        "taskmanager.memory.jvm-metaspace.size": "192m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "taskmanager.cpu.cores": 2,
        # A killed process is noticed in seconds, and what it ran starts again at once.
        "heartbeat.interval": "1 s",
        "heartbeat.timeout": "6 s",
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 2147483647,
        "restart-strategy.fixed-delay.delay": "1 s",
        "slot.request.timeout": "60 s",
        "cluster.registration.initial-timeout": "100 ms",
        "cluster.registration.max-timeout": "2 s",
        "cluster.registration.error-delay": "1 s",
    }


def prepare(settings: StackSettings, state: State) -> None:
    """Write the cluster's configuration; what a killed process left in its temporary folder goes."""
    shutil.rmtree(state.flink / "tmp", ignore_errors=True)
    for folder in (state.flink / "conf", state.flink / "tmp", checkpoints(state)):
        folder.mkdir(parents=True, exist_ok=True)
    (state.flink / "conf" / "config.yaml").write_text(yaml.safe_dump(_configuration(settings, state)))
    log4j = resources.files("stack").joinpath("log4j-flink.properties").read_text()
    (state.flink / "conf" / "log4j.properties").write_text(log4j)


def _java(settings: StackSettings, state: State, archive: Path, main: str, *options: str) -> tuple[str, ...]:
    conf = state.flink / "conf"
    return tuple(
        java.command(
            class_path(settings),
            main,
            options=(
                *java.SMALL,
                *java.sharing(archive),
                *options,
                *_OPENED,
                f"-Dlog4j.configurationFile=file:{conf / 'log4j.properties'}",
            ),
            arguments=("--configDir", str(conf)),
        )
    )


def jobs(settings: StackSettings) -> tuple[Job, ...]:
    """Return every job that the cluster remembers, newest first; none when it does not answer."""
    try:
        with FlinkRest(settings.flink_url, timeout=_ANSWER_SECONDS) as rest:
            return rest.jobs()
    except FlinkError:
        return ()


def services(settings: StackSettings, state: State) -> tuple[Service, Service]:
    """Describe the JobManager and the TaskManager."""

    def overview() -> dict[str, int]:
        try:
            return dict(httpx.get(f"{settings.flink_url}/overview", timeout=2).raise_for_status().json())
        except httpx.HTTPError:
            return {}

    archives = [
        java.class_data(name, class_path(settings), settings.cache_dir)
        for name in ("flink-jobmanager", "flink-taskmanager")
    ]
    jobmanager = Service(
        name="flink-jobmanager",
        command=_java(
            settings,
            state,
            archives[0],
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            "-Xmx320m",
            "-XX:MaxMetaspaceSize=256m",
        ),
        ready=lambda: bool(overview()),
        # A JobManager with a running job takes five seconds to leave and then gives up waiting (exit status 239, its
        # own safeguard). What it knows is in the checkpoint taken before; a kill loses nothing more.
        stop_signal="KILL",
        endpoint=settings.flink_url,
        class_data=archives[0],
    )
    taskmanager = Service(
        name="flink-taskmanager",
        command=_java(
            settings,
            state,
            archives[1],
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            "-Xmx384m",
            "-XX:MaxDirectMemorySize=160m",
            "-XX:MaxMetaspaceSize=192m",
        ),
        # A TaskManager is listed a moment before the slots it offers are.
        ready=lambda: overview().get("slots-total", 0) > 0,
        class_data=archives[1],
    )
    return jobmanager, taskmanager
