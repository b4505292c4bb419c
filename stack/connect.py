"""Owns the embedded Kafka Connect worker that runs Debezium: its configuration, and how its JVM is started.

Must never register a connector; `cdc.debezium` does. One worker in distributed mode, so that connector, offsets and
status live in Kafka, as they do in a cluster. Facts: Kafka documentation, Connect worker configuration.
"""

from importlib import resources
from pathlib import Path

import httpx
from psycopg.conninfo import conninfo_to_dict

from cdc.debezium.connector import PASSWORD_VARIABLE, USER_VARIABLE
from stack import java, maven
from stack.service import Service
from stack.settings import HOST, StackSettings
from stack.state import State

BUNDLE = "connect-debezium"
"""Connect and the connector on one class path: what both need is there once, and class data sharing covers all."""

SERVICE = "connect"

_JSON = "org.apache.kafka.connect.json.JsonConverter"


def _properties(settings: StackSettings) -> dict[str, str]:
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "group.id": "headwater-connect",
        "listeners": settings.connect_url,
        "rest.advertised.host.name": HOST,
        "rest.advertised.port": str(settings.connect_port),
        "key.converter": _JSON,
        "value.converter": _JSON,
        "config.storage.topic": "connect-configs",
        "config.storage.replication.factor": "1",
        "offset.storage.topic": "connect-offsets",
        "offset.storage.replication.factor": "1",
        # One connector has one offset; with the usual 25 partitions a start on a small machine is slow.
        "offset.storage.partitions": "1",
        "status.storage.topic": "connect-status",
        "status.storage.replication.factor": "1",
        "status.storage.partitions": "1",
        # What was sent since the last flush comes again after a kill, and the slot is confirmed at a flush.
        "offset.flush.interval.ms": "1000",
        # A killed worker stays a member of the group until this has passed; the next one waits for it.
        "session.timeout.ms": "10000",
        "heartbeat.interval.ms": "3000",
        "scheduled.rebalance.max.delay.ms": "0",
        "task.shutdown.graceful.timeout.ms": "8000",
        "plugin.discovery": "service_load",
        # Credentials come from the worker's environment, and only these two names may be asked for (CD-65).
        "config.providers": "env",
        "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        "config.providers.env.param.allowlist.pattern": f"^({USER_VARIABLE}|{PASSWORD_VARIABLE})$",
    }


def _class_path(settings: StackSettings) -> tuple[Path, ...]:
    return maven.class_path(BUNDLE, settings.cache_dir)


def prepare(settings: StackSettings, state: State) -> None:
    """Write the worker's configuration; there is no secret in it."""
    state.connect.mkdir(exist_ok=True)
    lines = (f"{name}={value}\n" for name, value in _properties(settings).items())
    (state.connect / "worker.properties").write_text("".join(lines))
    log4j = resources.files("stack").joinpath("log4j-connect.properties").read_text()
    (state.connect / "log4j.properties").write_text(log4j)


def service(settings: StackSettings, state: State) -> Service:
    """Describe the worker; it is ready when it answers and, once a connector is there, that connector runs."""
    archive = java.class_data(SERVICE, _class_path(settings), settings.cache_dir)
    account = conninfo_to_dict(settings.database_url)
    return Service(
        name=SERVICE,
        command=tuple(
            java.command(
                _class_path(settings),
                "org.apache.kafka.connect.cli.ConnectDistributed",
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
