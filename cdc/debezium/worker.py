"""Owns the properties of the Kafka Connect worker that runs Debezium, in the local stack and in a container alike.

One worker in distributed mode, so that connector, offsets and status live in Kafka, as they do in a cluster. No secret
is in them: what the connector refers to is resolved from the worker's environment (CD-65). Starts nothing. Facts: Kafka
documentation, Connect worker configuration.
"""

from importlib import resources
from typing import Annotated, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from cdc.debezium.connector import PASSWORD_VARIABLE, USER_VARIABLE

MAIN_CLASS: Final = "org.apache.kafka.connect.cli.ConnectDistributed"
_JSON: Final = "org.apache.kafka.connect.json.JsonConverter"

Port = Annotated[int, Field(ge=1, le=65535)]


class WorkerSettings(BaseSettings):
    """The settings of a worker; each is the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    kafka_bootstrap_servers: str
    connect_host: str = "127.0.0.1"
    """Where its REST interface listens."""
    connect_port: Port = 8083
    connect_advertised_host: str = "127.0.0.1"
    """How other workers of the group reach it."""
    connect_replication: Annotated[int, Field(ge=1)] = 1
    """Copies of its three topics: three where there are as many brokers."""


def worker_properties(settings: WorkerSettings) -> str:
    """Return the worker's properties file."""
    copies = str(settings.connect_replication)
    given = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "group.id": "headwater-connect",
        "listeners": f"http://{settings.connect_host}:{settings.connect_port}",
        "rest.advertised.host.name": settings.connect_advertised_host,
        "rest.advertised.port": str(settings.connect_port),
        "key.converter": _JSON,
        "value.converter": _JSON,
        "config.storage.topic": "connect-configs",
        "config.storage.replication.factor": copies,
        "offset.storage.topic": "connect-offsets",
        "offset.storage.replication.factor": copies,
        # One connector has one offset; with the usual 25 partitions a start on a small machine is slow.
        "offset.storage.partitions": "1",
        "status.storage.topic": "connect-status",
        "status.storage.replication.factor": copies,
        "status.storage.partitions": "1",
        # What was sent since the last flush comes again after a kill, and the slot is confirmed at a flush.
        "offset.flush.interval.ms": "1000",
        # A killed worker stays a member of the group until this has passed; the next one waits for it.
        "session.timeout.ms": "10000",
        "heartbeat.interval.ms": "3000",
        "scheduled.rebalance.max.delay.ms": "0",
        "task.shutdown.graceful.timeout.ms": "8000",
        "plugin.discovery": "service_load",
        # Only these two names may be asked for.
        "config.providers": "env",
        "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        "config.providers.env.param.allowlist.pattern": f"^({USER_VARIABLE}|{PASSWORD_VARIABLE})$",
    }
    return "".join(f"{name}={value}\n" for name, value in given.items())


def logging_properties() -> str:
    """Return the worker's log4j configuration: warnings, and what Debezium itself has to say."""
    return resources.files("cdc.debezium").joinpath("log4j.properties").read_text()
