"""Owns the embedded Kafka Connect worker that runs Debezium: how its JVM is started, small and quickly.

Must never register a connector, nor know a worker's settings; `cdc.debezium` does.
"""

from pathlib import Path

import httpx
from psycopg.conninfo import conninfo_to_dict

from cdc.debezium.connector import PASSWORD_VARIABLE, USER_VARIABLE
from cdc.debezium.worker import MAIN_CLASS, WorkerSettings, logging_properties, worker_properties
from stack import java, maven
from stack.service import Service
from stack.settings import HOST, StackSettings
from stack.state import State

BUNDLE = "connect-debezium"
"""Connect and the connector on one class path: what both need is there once, and class data sharing covers all."""

SERVICE = "connect"


def _worker(settings: StackSettings) -> WorkerSettings:
    return WorkerSettings(
        kafka_bootstrap_servers=settings.kafka_bootstrap,
        connect_host=HOST,
        connect_port=settings.connect_port,
        connect_advertised_host=HOST,
        connect_replication=1,
    )


def _class_path(settings: StackSettings) -> tuple[Path, ...]:
    return maven.class_path(BUNDLE, settings.cache_dir)


def prepare(settings: StackSettings, state: State) -> None:
    """Write the worker's configuration; there is no secret in it."""
    state.connect.mkdir(exist_ok=True)
    (state.connect / "worker.properties").write_text(worker_properties(_worker(settings)))
    (state.connect / "log4j.properties").write_text(logging_properties())


def service(settings: StackSettings, state: State) -> Service:
    """Describe the worker; it is ready when it answers and, once a connector is there, that connector runs."""
    archive = java.class_data(SERVICE, _class_path(settings), settings.cache_dir)
    account = conninfo_to_dict(settings.database_url)
    return Service(
        name=SERVICE,
        command=tuple(
            java.command(
                _class_path(settings),
                MAIN_CLASS,
                options=(
                    *java.SMALL,
                    *java.sharing(archive),
                    "-Xms64m",
                    "-Xmx256m",
                    f"-Dlog4j2.configurationFile=file:{state.connect / 'log4j.properties'}",
                ),
                arguments=(str(state.connect / "worker.properties"),),
            )
        ),
        environment={
            USER_VARIABLE: str(account.get("user") or ""),
            PASSWORD_VARIABLE: str(account.get("password") or ""),
        },
        ready=lambda: _answers(settings),
        stop_seconds=15,
        endpoint=settings.connect_url,
        class_data=archive,
    )


def _answers(settings: StackSettings) -> bool:
    try:
        # The root answers before the worker has joined its group; the list of connectors only then.
        return httpx.get(f"{settings.connect_url}/connectors", timeout=3).is_success
    except httpx.HTTPError:
        return False
