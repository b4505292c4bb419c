"""Owns the embedded Kafka broker (KRaft, one node) and its topics. Facts: Kafka documentation, broker configuration."""

import json
import subprocess
from importlib import resources
from pathlib import Path
from typing import Final
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

import schemas
from cdc import topics as declared
from cdc.errors import CdcError
from stack import java, maven
from stack.errors import StackError
from stack.service import Service
from stack.settings import HOST, StackSettings
from stack.state import State

TRANSACTION_SECONDS: Final = 86_400
"""How long a transaction of the Flink job may stay open: a stack that was killed has a day to come back."""


def _properties(settings: StackSettings, state: State) -> dict[str, str]:
    broker, controller = settings.kafka_port, settings.kafka_controller_port
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(state.kafka / "data"),
        "num.partitions": "6",
        # One broker: every internal topic has one copy, and few partitions, so that the first consumer starts at once.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.max.timeout.ms": str(TRANSACTION_SECONDS * 1000),
        "group.initial.rebalance.delay.ms": "0",
        "log.cleaner.dedupe.buffer.size": "16777216",
    }


def _class_path(settings: StackSettings) -> tuple[Path, ...]:
    return maven.class_path("kafka", settings.cache_dir)


def prepare(settings: StackSettings, state: State) -> None:
    """Write the broker's configuration and format its storage once.

    Raises:
        StackError: The storage cannot be formatted, or the path holds a character that Kafka cannot take.
    """
    if "," in str(state.root):
        raise StackError(
            f"The state folder {state.root} has a comma in its path, which Kafka reads as two folders.",
            "Set HEADWATER_STATE_DIR to a path without commas.",
        )
    state.kafka.mkdir(exist_ok=True)
    configuration = state.kafka / "server.properties"
    lines = (f"{name}={value}\n" for name, value in _properties(settings, state).items())
    configuration.write_text("".join(lines))
    log4j = resources.files("stack").joinpath("log4j-kafka.properties").read_text()
    (state.kafka / "log4j.properties").write_text(log4j)
    if (state.kafka / "data" / "bootstrap.checkpoint").exists():
        return
    done = subprocess.run(
        java.command(
            _class_path(settings),
            "kafka.tools.StorageTool",
            options=(*java.SMALL, "-XX:TieredStopAtLevel=1"),
            arguments=("format", "--ignore-formatted", "-t", _cluster_id(state), "-c", str(configuration)),
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(
            f"Kafka's storage cannot be formatted: {(done.stderr or done.stdout).strip()[-400:]}",
            f"Delete {state.kafka}, or run `headwater up --wipe`.",
        )


def _cluster_id(state: State) -> str:
    file = state.kafka / "cluster.json"
    if not file.exists():
        file.write_text(json.dumps({"cluster": uuid4().hex[:22]}))
    return str(json.loads(file.read_text())["cluster"])


def service(settings: StackSettings, state: State) -> Service:
    """Describe the broker process."""

    def ready() -> bool:
        try:
            return bool(_admin(settings).list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    archive = java.class_data("kafka", _class_path(settings), settings.cache_dir)
    return Service(
        name="kafka",
        command=tuple(
            java.command(
                _class_path(settings),
                "kafka.Kafka",
                options=(
                    *java.SMALL,
                    *java.sharing(archive),
                    "-Xms128m",
                    "-Xmx320m",
                    f"-Dlog4j2.configurationFile=file:{state.kafka / 'log4j.properties'}",
                ),
                arguments=(str(state.kafka / "server.properties"),),
            )
        ),
        ready=ready,
        endpoint=settings.kafka_bootstrap,
        class_data=archive,
    )


def _admin(settings: StackSettings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})


def create_topics(settings: StackSettings) -> None:
    """Create the declared topics that are missing, with the local replication.

    Raises:
        StackError: The broker refuses one.
    """
    try:
        declared.create_topics(settings.kafka_bootstrap, {}, schemas.topics())
    except CdcError as error:
        raise StackError(f"{error}.", "See `headwater logs kafka`.") from error
