"""Kafka is written over verified TLS with SASL; what does not verify stops the engine, and no secret is told."""

from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from tests.secured_kafka import secured_broker

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # it is Kafka's connection

PASSWORD = "open-sesame-7"  # of a broker that lives for one module


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signed the broker's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of the authority's certificate."""
    file = str(tmp_path_factory.mktemp("authority") / "ca.pem")
    authority.cert_pem.write_to_path(file)
    return file


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of an authority that signed nothing here."""
    file = str(tmp_path_factory.mktemp("stranger") / "ca.pem")
    trustme.CA().cert_pem.write_to_path(file)
    return file


@pytest.fixture(scope="module")
def ports(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA, stack_settings: Any
) -> Iterator[dict[str, int]]:
    """A broker with a secured listener for the engine and an open one for the test; the ports of its listeners."""
    home = tmp_path_factory.mktemp("kafka")
    with secured_broker(home, stack_settings.cache_dir, authority, "SCRAM-SHA-512", "engine", PASSWORD) as listeners:
        yield listeners


@pytest.fixture(scope="module")
def kafka_bootstrap(ports: dict[str, int]) -> str:
    """The open listener, in place of the session's broker."""
    return f"127.0.0.1:{ports['plain']}"


@pytest.fixture
def secured(ports: dict[str, int], trusted: str) -> dict[str, str]:
    """The engine's settings for the secured listener."""
    return secured_kafka(ports, trusted)


def secured_kafka(ports: dict[str, int], trusted: str, password: str = PASSWORD) -> dict[str, str]:
    """Return them with this authority and password."""
    config = (
        '{"security.protocol":"SASL_SSL","sasl.mechanism":"SCRAM-SHA-512","sasl.username":"engine",'
        f'"sasl.password":"{password}","ssl.ca.location":"{trusted}"}}'
    )
    return {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['secure']}", "CDC_KAFKA_CONFIG": config}


def test_changes_travel_over_tls_and_sasl(
    database: Any, topic: Any, launch: Any, secured: Any, wait_until: Any
) -> None:
    """Snapshot and stream arrive, and the log holds no password."""
    database.insert("before")
    engine = launch(**secured)
    engine.wait_for("streaming")
    database.insert("after")
    wait_until(lambda: len(topic.records()) == 2, "both records")
    assert engine.stop() == 0
    assert PASSWORD not in str(engine.log)


def test_a_broker_with_an_unknown_authority_is_refused(launch: Any, ports: dict[str, int], stranger: str) -> None:
    """The same for Kafka."""
    engine = launch(**secured_kafka(ports, stranger))
    stopped = engine.wait_for("stopped_by_error")
    assert (stopped["kind"], engine.exit_code()) == ("tls", 1)
    assert "ssl.ca.location" in stopped["remedy"]


def test_a_wrong_broker_password_stops_with_its_remedy(launch: Any, ports: dict[str, int], trusted: str) -> None:
    """Waiting does not cure it, so it is not waited for."""
    engine = launch(**secured_kafka(ports, trusted, "not-the-password"))
    stopped = engine.wait_for("stopped_by_error")
    assert (stopped["kind"], engine.exit_code()) == ("broker_credentials", 1)
    assert "not-the-password" not in str(engine.log)
