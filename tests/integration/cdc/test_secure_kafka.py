"""Kafka is written over verified TLS with SASL; what does not verify stops the engine, and no secret is told."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives import serialization

from stack import java, maven
from stack.ports import free_ports

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # it is Kafka's connection

PASSWORD = "open-sesame-7"  # of a broker that lives for one module

BROKER = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://127.0.0.1:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={folder}/broker.pem
"""


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
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA, stack_settings: Any, wait_until: Any
) -> Iterator[dict[str, int]]:
    """A broker with a secured listener for the engine and an open one for the test; the ports of its listeners."""
    home, certificate = tmp_path_factory.mktemp("kafka"), authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    # Kafka takes PKCS 8 alone.
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + b"".join(part.bytes() for part in certificate.cert_chain_pems)
    (home / "broker.pem").write_bytes(pem)
    listeners = dict(zip(("plain", "secure", "controller"), free_ports(3), strict=True))
    properties = home / "server.properties"
    properties.write_text(BROKER.format(folder=home, **listeners))
    archives = maven.class_path("kafka", stack_settings.cache_dir)
    user = f"SCRAM-SHA-512=[name=engine,password={PASSWORD}]"
    arguments = ("format", "-t", "c2VjdXJlLWNsdXN0ZXItMDE", "-c", str(properties), "--add-scram", user)
    format_storage = java.command(archives, "kafka.tools.StorageTool", options=java.SMALL, arguments=arguments)
    subprocess.run(format_storage, check=True, capture_output=True)
    with (home / "log").open("wb") as log:
        command = java.command(archives, "kafka.Kafka", options=java.SMALL, arguments=(str(properties),))
        broker = subprocess.Popen(command, stdout=log, stderr=log, cwd=home)
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{listeners['plain']}", "log_level": 0})

    def ready() -> bool:
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    try:
        wait_until(ready, "the broker answers", 60)
        yield listeners
    finally:
        broker.kill()
        broker.wait(30)


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
