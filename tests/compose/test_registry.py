"""The schema registry image of the compose stack, as its variables promise."""

import json
from typing import Any

import httpx
import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.slow


def _start(containers: Any) -> Any:
    given = {
        "QUARKUS_HTTP_PORT": "8081",
        "APICURIO_STORAGE_KIND": "kafkasql",
        "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": "kafka:9092",
    }
    return containers.start("registry", environment=given, publish=(8081,))


def _subjects(registry: Any) -> list[str] | None:
    try:
        answer = httpx.get(f"http://{registry.address(8081)}/apis/ccompat/v7/subjects", timeout=5).raise_for_status()
    except httpx.HTTPError:
        return None
    return list(answer.json())


@pytest.fixture(scope="module")
def registry(containers: Any, broker: Any) -> Any:
    """A registry at a port of its own whose storage is Kafka."""
    made = _start(containers)
    eventually(lambda: _subjects(made) == [], "the registry answers", 180)
    return made


def test_it_answers_at_the_port_asked_for_as_1001(registry: Any) -> None:
    """QUARKUS_HTTP_PORT is its port, and its account is not root."""
    assert registry.succeeds("curl", "-fsS", "http://localhost:8081/apis/ccompat/v7/subjects")
    assert registry.user() == 1001


def test_schemas_in_kafka_outlive_the_container(containers: Any, registry: Any) -> None:
    """With APICURIO_STORAGE_KIND=kafkasql a second registry knows what the first was told."""
    body = {"schema": json.dumps({"type": "record", "name": "Car", "fields": []})}
    url = f"http://{registry.address(8081)}/apis/ccompat/v7/subjects/cars-value/versions"
    httpx.post(url, json=body, timeout=30).raise_for_status()
    registry.container.kill()
    second = _start(containers)
    eventually(lambda: _subjects(second) == ["cars-value"], "the schema is there", 180)


@pytest.mark.usefixtures("imitation")
def test_what_is_not_imitated_is_refused(containers: Any) -> None:
    """JAVA_OPTIONS replaces what the public image sets by it; the container stops and says so."""
    refused = containers.start("registry", environment={"JAVA_OPTIONS": "-Xmx1g"})
    assert refused.exit_status() == 1
    assert "JAVA_OPTIONS is not imitated" in refused.log()
