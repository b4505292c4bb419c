"""The Kafka image of the compose stack, as its variables promise."""

from typing import Any

import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.slow

_BIN = "/opt/kafka/bin"
_LOCAL = ("--bootstrap-server", "kafka:9092")


@pytest.fixture(scope="module")
def ready(broker: Any) -> Any:
    """The broker, once it answers as a health check asks it."""
    eventually(lambda: broker.succeeds(f"{_BIN}/kafka-broker-api-versions.sh", *_LOCAL), "the broker answers", 60)
    return broker


def test_variables_become_properties(ready: Any) -> None:
    """A name in capitals with underscores is a property in small letters with dots."""
    _, text = ready.run("cat", "/opt/kafka/config/server.properties")
    assert "controller.quorum.voters=1@kafka:9093" in text
    assert "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT" in text


def test_the_cluster_has_the_images_identifier_unless_one_is_given(ready: Any) -> None:
    """Without CLUSTER_ID the storage has the one identifier that every such container has."""
    _, text = ready.run("cat", "/var/lib/kafka/data/meta.properties")
    assert "cluster.id=5L6g3nShT-eMCtK--X86sw" in text


def test_topics_and_groups_are_seen_by_the_scripts(ready: Any) -> None:
    """The scripts of the program's own folder create a topic, fill it and list a group."""
    assert ready.succeeds(f"{_BIN}/kafka-topics.sh", *_LOCAL, "--create", "--topic", "cars", "--partitions", "2")
    _, listed = ready.run(f"{_BIN}/kafka-topics.sh", *_LOCAL, "--describe", "--topic", "cars")
    assert "PartitionCount: 2" in listed
    producer = f"echo hello | {_BIN}/kafka-console-producer.sh --bootstrap-server kafka:9092 --topic cars"
    assert ready.succeeds("bash", "-c", producer)
    consumer = (f"{_BIN}/kafka-console-consumer.sh", *_LOCAL, "--topic", "cars", "--group", "readers")
    _, read = ready.run(*consumer, "--from-beginning", "--max-messages", "1", "--timeout-ms", "30000")
    assert "hello" in read
    _, groups = ready.run(f"{_BIN}/kafka-consumer-groups.sh", *_LOCAL, "--list")
    assert "readers" in groups


def test_the_broker_is_appuser_1000_with_the_heap_asked_for(ready: Any) -> None:
    """The first process is not root, and KAFKA_HEAP_OPTS reaches it."""
    assert ready.user() == 1000
    assert "-Xmx320m" in ready.run("cat", "/proc/1/cmdline")[1].split("\0")


def test_a_killed_broker_starts_again_on_its_storage(ready: Any) -> None:
    """Storage that is formatted already is taken as it is."""
    ready.container.kill()
    ready.container.start()
    eventually(lambda: ready.succeeds(f"{_BIN}/kafka-topics.sh", *_LOCAL, "--list"), "the broker answers", 60)


@pytest.mark.usefixtures("imitation")
def test_what_is_not_imitated_is_refused(containers: Any) -> None:
    """A listener with TLS stops the container, and it says why."""
    given = {"KAFKA_PROCESS_ROLES": "broker", "KAFKA_ADVERTISED_LISTENERS": "SSL://kafka:9092"}
    refused = containers.start("kafka", environment=given)
    assert refused.exit_status() == 1
    assert "SSL and SASL listeners are not imitated" in refused.log()
