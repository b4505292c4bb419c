"""A broker of the tests' own with a listener over TLS and SASL beside an open one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from cryptography.hazmat.primitives import serialization

from stack import java, maven
from stack.ports import free_ports
from tests.waiting import eventually

_PROPERTIES = """
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
group.initial.rebalance.delay.ms=0
sasl.enabled.mechanisms={mechanism}
listener.name.secure.{lower}.sasl.jaas.config={jaas}
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={folder}/broker.pem
"""
_JAAS = {
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    "PLAIN": 'org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";',
}


@contextmanager
def secured_broker(
    home: Path, cache: Path, authority: trustme.CA, mechanism: str, user: str, password: str
) -> Iterator[dict[str, int]]:
    """Run the broker, which knows one user, and give the ports of its listeners: `plain`, `secure`, `controller`."""
    certificate = authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    # Kafka takes PKCS 8 alone.
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + b"".join(part.bytes() for part in certificate.cert_chain_pems)
    (home / "broker.pem").write_bytes(pem)
    listeners = dict(zip(("plain", "secure", "controller"), free_ports(3), strict=True))
    jaas = _JAAS[mechanism].format(user=user, password=password)
    properties = home / "server.properties"
    properties.write_text(
        _PROPERTIES.format(folder=home, mechanism=mechanism, lower=mechanism.lower(), jaas=jaas, **listeners)
    )
    archives = maven.class_path("kafka", cache)
    arguments = ["format", "-t", "c2VjdXJlLWNsdXN0ZXItMDE", "-c", str(properties)]
    if mechanism.startswith("SCRAM"):
        arguments += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
    format_storage = java.command(archives, "kafka.tools.StorageTool", options=java.SMALL, arguments=tuple(arguments))
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
        eventually(ready, "the broker answers", 60)
        yield listeners
    finally:
        broker.kill()
        broker.wait(30)
