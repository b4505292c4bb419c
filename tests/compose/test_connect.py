"""The Kafka Connect image of the compose stack, as its variables promise."""

import json
from typing import Any

import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.slow

_TOPICS = {"CONFIG_STORAGE_TOPIC": "configs", "OFFSET_STORAGE_TOPIC": "offsets", "STATUS_STORAGE_TOPIC": "states"}


@pytest.fixture(scope="module")
def worker(containers: Any, broker: Any) -> Any:
    """A worker that answers."""
    given = {
        "BOOTSTRAP_SERVERS": "kafka:9092",
        "GROUP_ID": "cars",
        "HEAP_OPTS": "-Xmx300m",
        "CONNECT_CONFIG_PROVIDERS": "env",
        "CONNECT_CONFIG_PROVIDERS_ENV_CLASS": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        "CONNECT_OFFSET_STORAGE_REPLICATION_FACTOR": "1",
        "CONNECT_SSL_KEY_PASSWORD": "open-sesame",
    }
    made = containers.start("connect", name="connect", environment=_TOPICS | given)
    eventually(lambda: made.succeeds("curl", "-fsS", "http://localhost:8083/connectors"), "the worker answers", 120)
    return made


def test_the_worker_has_debezium_for_postgresql(worker: Any) -> None:
    """The connector is a plugin of the worker, in the version that the stack runs."""
    plugins = json.loads(worker.run("curl", "-fsS", "http://localhost:8083/connector-plugins")[1])
    versions = {plugin["class"]: plugin["version"] for plugin in plugins}
    assert versions["io.debezium.connector.postgresql.PostgresConnector"] == "3.7.0.Final"


def test_variables_become_properties_of_the_worker(worker: Any) -> None:
    """A name after CONNECT_ is a property in small letters with dots; the short names are those of the image."""
    _, text = worker.run("cat", "/kafka/config/connect-distributed.properties")
    lines = text.splitlines()
    assert "config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider" in lines
    assert "status.storage.topic=states" in lines
    assert "offset.storage.replication.factor=1" in lines
    assert "group.id=cars" in lines


def test_a_known_secret_is_not_logged(worker: Any) -> None:
    """A variable that the image knows as a secret is named without its value."""
    assert "ssl.key.password=[hidden]" in worker.log()
    assert "open-sesame" not in worker.log()


def test_the_worker_is_kafka_1001_with_the_heap_asked_for(worker: Any) -> None:
    """The first process is not root, and HEAP_OPTS reaches it."""
    assert worker.user() == 1001
    assert "-Xmx300m" in worker.run("cat", "/proc/1/cmdline")[1].split("\0")


@pytest.mark.usefixtures("imitation")
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "CONFIG_STORAGE_TOPIC is not set"),
        (_TOPICS | {"ENABLE_APICURIO_CONVERTERS": "true"}, "ENABLE_APICURIO_CONVERTERS is not imitated"),
        (_TOPICS | {"CONNECT_LOG4J_LOGGERS": "INFO, stdout"}, "CONNECT_LOG4J_LOGGERS is not imitated"),
        (_TOPICS | {"CONNECT_PLUGIN_PATH": "/a@b"}, "CONNECT_PLUGIN_PATH has an '@'"),
    ],
)
def test_what_the_public_image_refuses_or_mangles_is_refused(
    containers: Any, given: dict[str, str], reason: str
) -> None:
    """The container stops and says why."""
    refused = containers.start("connect", environment=given)
    assert refused.exit_status() == 1
    assert reason in refused.log()
