"""A consumer on a broker that wants a key and a secret over verified TLS, as Confluent Cloud does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import trustme
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stack.settings import StackSettings
from tests.secured_kafka import secured_broker

SECRET = "open-sesame-8"  # of a broker that lives for one module


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, stack_settings: StackSettings) -> Iterator[dict[str, str]]:
    """The variables of a consumer for such a broker, and a topic there with two records, one of them garbage."""
    home, authority, topic = tmp_path_factory.mktemp("kafka"), trustme.CA(), "filtered-car-created-events"
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    with secured_broker(home, stack_settings.cache_dir, authority, "PLAIN", "key", SECRET) as ports:
        plain = {"bootstrap.servers": f"127.0.0.1:{ports['plain']}"}
        admin = AdminClient(plain)
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
        producer = Producer(plain)
        for value in (b"garbage", json.dumps({"id": "one"}).encode()):
            producer.produce(topic, value)
        assert producer.flush(30) == 0
        yield {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['secure']}",
            "KAFKA_TOPIC": topic,
            "KAFKA_API_KEY": "key",
            "KAFKA_API_SECRET": SECRET,
            "KAFKA_SSL_CA_LOCATION": str(home / "ca.pem"),
        }


def start(environment: dict[str, str], **changes: str) -> "subprocess.Popen[str]":
    """Start the program with these variables alone, for a group that nobody else uses."""
    given = {**os.environ, **environment, "CONSUMER_GROUP_ID": f"{uuid4().hex}-group", **changes}
    pipe = subprocess.PIPE
    # The arguments are options with a variable each.
    return subprocess.Popen([sys.executable, "-m", "consumers"], env=given, stdout=pipe, stderr=pipe, text=True)


def test_key_and_secret_of_the_environment_reach_a_broker_with_sasl(environment: dict[str, str]) -> None:
    """Records are read and dead letters written over SASL_SSL with PLAIN; no line holds the secret (FL-81, FL-82)."""
    with start(environment) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if json.loads(line)["event"] == "record":
                break
        process.terminate()
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert [json.loads(line)["event"] for line in lines] == ["consumer_started", "dead_letter", "record"]
    assert SECRET not in "".join(lines) + rest + errors


def test_a_wrong_secret_ends_the_consumer_with_a_sentence(environment: dict[str, str]) -> None:
    """Waiting does not mend it, so the program ends with 1 and names what to check, without the secret (FL-82)."""
    with start(environment, KAFKA_API_SECRET="not-the-secret") as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "check its address and credentials" in errors
    assert "not-the-secret" not in output + errors


def test_a_broker_that_nobody_vouches_for_gets_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    """With another authority the connection is refused before the secret is sent, again and again (FL-82)."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with start(environment, KAFKA_SSL_CA_LOCATION=str(other)) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.terminate()
        _rest, _errors = process.communicate(timeout=30)
    assert first["event"] == "topic_missing"
    assert "certificate" in first["reason"]
    assert process.returncode == 0
