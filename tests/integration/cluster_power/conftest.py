"""A PostgreSQL of its own that plays an emulated cluster, and the functions under the local Lambda service."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from producer.lambda_handler import answer_event
from producer.service import Service as Producer
from stack.local import LocalStack
from stack.ports import free_ports, own_settings
from stack.postgres import create_tables
from stack.supervision import MARK
from tests.integration.lambdas.conftest import Service as Lambdas
from tests.unit.cluster_power.conftest import aws

__all__ = ["aws"]

REGION = "us-east-1"
CLUSTER = "cars"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": REGION}


@contextmanager
def reading(database_url: str, slot: str) -> Iterator[None]:
    """Hold a slot that is active, as a running connector's is; it is gone at the end, not some time after it."""
    with psycopg.connect(database_url, autocommit=True) as reader:
        reader.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput', temporary => true)", (slot,))
        yield
        reader.execute("SELECT pg_drop_replication_slot(%s)", (slot,))


@dataclass(frozen=True)
class Reply:
    """An answer of the producer, its body parsed."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class Cluster:
    """The emulated cluster, the server that follows it, and the functions that know only the cluster."""

    def __init__(self, endpoint: str, stack: LocalStack, lambdas: Lambdas, producer: Producer) -> None:
        client = {"endpoint_url": endpoint, "region_name": REGION}
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        self.rds: Any = boto3.client("rds", **client, **keys)
        self.cloudwatch: Any = boto3.client("cloudwatch", **client, **keys)
        self.endpoint = endpoint
        self.stack = stack
        self.lambdas = lambdas
        self.producer = producer

    @property
    def status(self) -> str:
        """Return the cluster's state."""
        found: str = self.rds.describe_db_clusters(DBClusterIdentifier=CLUSTER)["DBClusters"][0]["Status"]
        return found

    @property
    def server(self) -> str:
        """Return the state of the server's process, in the supervisor's word."""
        return self.stack.processes()["postgres"].state

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        """Send the producer one request."""
        http = {"method": method, "path": f"/api/v1/events{path}"}
        event = {"version": "2.0", "requestContext": {"http": http}, "body": json.dumps(body)}
        output = answer_event(self.producer.api, event, None, self.producer.settings.request_seconds)
        return Reply(output["statusCode"], output["headers"], json.loads(output["body"]))


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The emulated AWS API, with one available cluster."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_ports(1)[0], verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def own_stack(state_folder: Path) -> Iterator[LocalStack]:
    """A PostgreSQL with the tables, which nobody else minds being stopped."""
    stack = LocalStack(own_settings(state_folder / "cluster-power"))
    stack.open()
    try:
        stack.start("postgres")
        create_tables(stack.settings)
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="module")
def cluster(moto: str, own_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Everything together; the follower is a process of its own, as in the local stack."""
    folder = tmp_path_factory.mktemp("power")
    known = {**CREDENTIALS, "AURORA_CLUSTER_ID": CLUSTER, "AWS_ENDPOINT_URL_RDS": moto}
    stop = {
        **known,
        "AWS_ENDPOINT_URL_CLOUDWATCH": moto,
        "API_GATEWAY_ID": "api-1",
        "DATABASE_URL": own_stack.settings.database_url,
    }
    lambdas = Lambdas(
        folder,
        {
            name: {
                "handler": f"functions.cluster_power.{name.replace('-', '_')}.handler",
                "memory_mb": 128,
                "timeout_seconds": 60,
                "environment": environment,
            }
            for name, environment in {"auto-start": known, "auto-stop": stop}.items()
        },
    )
    follower = subprocess.Popen(
        [sys.executable, "-m", "stack.cluster"],
        env={**os.environ, **stop, MARK: str(own_stack.state.root)},
    )
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            **CREDENTIALS,
            "DATABASE_URL": own_stack.settings.database_url,
            "AURORA_AUTO_START_FUNCTION_NAME": "auto-start",
            "AWS_ENDPOINT_URL_LAMBDA": lambdas.url,
            "REQUEST_SECONDS": "8",
        }.items():
            environment.setenv(name, value)
        producer = Producer.from_environment()
    made = Cluster(moto, own_stack, lambdas, producer)
    made.rds.create_db_cluster(
        DBClusterIdentifier=CLUSTER, Engine="aurora-postgresql", MasterUsername="u", MasterUserPassword="not-used-1"
    )
    yield made
    producer.close()
    follower.terminate()
    assert follower.wait(20) == 0
    lambdas.close()
