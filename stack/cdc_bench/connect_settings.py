"""Owns how Debezium is run where it is compared: as shipped, and tuned as its own and Kafka's advice has it.

Both write the same record as our engine, and both have an idempotent producer with `acks=all`, which Connect by itself
leaves off. As shipped is everything else as a new connector has it, under the Java options of Kafka's own start script.
Source of facts: Debezium 3.7, PostgreSQL connector, "Advanced connector configuration properties"; Kafka 4.1,
`bin/kafka-run-class.sh`, `bin/connect-distributed.sh`, `Worker.baseProducerConfigs`.
"""

from typing import Final

from cdc.debezium.connector import Document, document
from cdc.debezium.deploy import NO_SNAPSHOT
from cdc.settings import Settings
from stack.cdc_bench.plan import Compression, Contender

_OUR_OWN: Final = ("poll.interval.ms", "heartbeat.", "message.prefix.", "producer.override.")
"""What the connector's document of the stack has beyond what Debezium ships with, the form of the record apart."""

_GUARANTEES: Final[Document] = {
    "producer.override.acks": "all",
    "producer.override.enable.idempotence": "true",
    "producer.override.partitioner.ignore.keys": "false",
}

_TUNED: Final[Document] = {
    "poll.interval.ms": "5",
    "max.batch.size": "8192",
    "max.queue.size": "32768",
    "producer.override.linger.ms": "0",
    "producer.override.batch.size": "262144",
    "producer.override.buffer.memory": "67108864",
    # Connect allows one; with an idempotent producer five keep the order as well.
    "producer.override.max.in.flight.requests.per.connection": "5",
}

_SCRIPT: Final = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
    "-Xms256M",
    "-Xmx2G",
)

# Of four tried on two cores, this collector drained fastest and took the least processor time; a larger heap only
# took more memory.
_PARALLEL: Final = ("-server", "-XX:+UseParallelGC", "-Djava.awt.headless=true", "-Xms512M", "-Xmx512M")

JAVA_OPTIONS: Final[dict[Contender, tuple[str, ...]]] = {"debezium_default": _SCRIPT, "debezium": _PARALLEL}

PRODUCER_LOG: Final = """
logger.producer.name = org.apache.kafka.common.config.AbstractConfig
logger.producer.level = info
"""
"""Lets the worker's log tell the settings that its producers really have."""


def connector(contender: Contender, settings: Settings, compression: Compression) -> Document:
    """Return the connector's document of one contender, for an existing slot and publication."""
    ours = document(settings, snapshot=NO_SNAPSHOT, autocreate="disabled")
    plain = {name: value for name, value in ours.items() if not name.startswith(_OUR_OWN)}
    tuned = _TUNED if contender == "debezium" else {}
    return {**plain, **_GUARANTEES, **tuned, "producer.override.compression.type": compression}


def worker(properties: str, turn: str) -> str:
    """Return a worker's properties for one turn: its own group and topics, the rest as it was given."""
    lines = []
    for line in properties.splitlines():
        name, _, value = line.partition("=")
        own = name in {"group.id", "config.storage.topic", "offset.storage.topic", "status.storage.topic"}
        lines.append(f"{name}={value}-{turn}" if own else line)
    return "\n".join(lines) + "\n"


def producer_settings(log: str) -> dict[str, str]:
    """Return what the worker's log says about the producer of the connector's records; empty before it is there."""
    for block in log.split("ProducerConfig values:")[1:]:
        pairs = [line.strip().partition(" = ") for line in block.splitlines() if line.startswith("\t")]
        found = {name: value for name, _, value in pairs}
        if found.get("client.id", "").startswith("connector-producer-"):
            return found
    return {}
