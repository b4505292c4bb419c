"""Owns the start of a contender on a slot and a topic that exist. Must never measure anything."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from cdc.debezium.client import Connect
from cdc.debezium.connector import PASSWORD_VARIABLE, USER_VARIABLE
from cdc.debezium.settings import ConnectSettings
from cdc.debezium.worker import MAIN_CLASS, WorkerSettings, logging_properties, worker_properties
from cdc.errors import CdcError
from cdc.settings import Settings
from stack import connect, java, maven, pipeline
from stack.cdc_bench import connect_settings
from stack.cdc_bench.plan import Compression, Contender
from stack.cdc_bench.processes import Running
from stack.engines import explained
from stack.local import LocalStack
from stack.settings import HOST

_GUARANTEES = {"acks": ("-1", "all"), "enable.idempotence": ("true",)}


@dataclass(frozen=True, slots=True)
class Turn:
    """Name what one turn of a contender has for itself: its slot, its topic, its worker group."""

    name: str
    contender: Contender
    compression: Compression

    @property
    def slot(self) -> str:
        """Return the slot's name."""
        return f"bench_{self.name}"

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        return f"bench-{self.name}"


def fetch(stack: LocalStack) -> None:
    """Bring the Java archives of Connect and Debezium into the cache."""
    maven.fetch(maven.missing((connect.BUNDLE,), stack.settings.cache_dir), stack.settings.cache_dir, maven.silent)


@contextmanager
def running(stack: LocalStack, turn: Turn) -> Iterator[Running]:
    """Run a contender until the block is left.

    Raises:
        StackError: It does not start.
    """
    if turn.contender == "native":
        service = pipeline.cdc(stack.settings)
        own = {
            "SLOT_NAME": turn.slot,
            "CDC_TOPIC": turn.topic,
            "CDC_SNAPSHOT_MODE": "never",
            "CDC_KAFKA_CONFIG": json.dumps({"compression.type": turn.compression}),
        }
        with Running(stack, f"cdc-{turn.name}", service.command, {**service.environment, **own}) as process:
            yield process
    else:
        with Running(stack, f"connect-{turn.name}", _worker_command(stack, turn), _account()) as process:
            _deploy(stack, turn, process)
            yield process


def _worker_command(stack: LocalStack, turn: Turn) -> list[str]:
    settings = stack.settings
    class_path = maven.class_path(connect.BUNDLE, settings.cache_dir)
    folder = stack.state.connect
    folder.mkdir(exist_ok=True)
    properties = folder / f"{turn.name}.properties"
    standard = WorkerSettings(
        kafka_bootstrap_servers=settings.kafka_bootstrap,
        connect_host=HOST,
        connect_port=settings.connect_port,
        connect_advertised_host=HOST,
    )
    properties.write_text(connect_settings.worker(worker_properties(standard), turn.name))
    logging = folder / "log4j.properties"
    logging.write_text(logging_properties() + connect_settings.PRODUCER_LOG)
    archive = java.class_data(connect.SERVICE, class_path, settings.cache_dir)
    options = (*connect_settings.JAVA_OPTIONS[turn.contender], *java.sharing(archive))
    logged = (f"-Dlog4j2.configurationFile=file:{logging}",)
    return java.command(class_path, MAIN_CLASS, options=(*options, *logged), arguments=(str(properties),))


def _account() -> dict[str, str]:
    # The local server trusts every address of the loopback interface.
    return {USER_VARIABLE: "postgres", PASSWORD_VARIABLE: ""}


def _deploy(stack: LocalStack, turn: Turn, process: Running) -> None:
    given: dict[str, Any] = {
        "database_url": SecretStr(stack.settings.database_url),
        "kafka_bootstrap_servers": stack.settings.kafka_bootstrap,
        "slot_name": turn.slot,
        "cdc_topic": turn.topic,
    }
    where = ConnectSettings(
        connect_url=stack.settings.connect_url,
        connect_connector=turn.topic,
        connect_tries=1200,
        connect_pause_seconds=0.05,
    )
    wanted = connect_settings.connector(turn.contender, Settings(**given), turn.compression)
    try:
        with Connect(where) as worker:
            worker.wait_until_up()
            worker.put(wanted)
            worker.wait_until_running()
    except CdcError as error:
        process.check()
        raise explained(error) from error


def verify_producer(process: Running) -> dict[str, str]:
    """Return the settings of the connector's producer, as the worker's log tells them.

    Raises:
        StackError: It is not idempotent, or does not wait for every replica.
    """
    found = connect_settings.producer_settings(process.log.read_text(errors="replace"))
    for name, allowed in _GUARANTEES.items():
        if found.get(name) not in allowed:
            raise process.failure(f"has a producer with {name}={found.get(name)}")
    return found
