"""The callbacks' Lambdas under the local Lambda service, a secret, and a database with a stand-in for AWS's extension.

The stand-in is an extension by AWS's names, so that the SQL under test is what runs on Aurora; another folder with the
same two control files takes its place without a change here.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer
from psycopg import sql

from tests.integration.lambdas.conftest import Service

EXTENSIONS = Path(__file__).with_name("stand_in")


@pytest.fixture(scope="module")
def secrets_url() -> Iterator[str]:
    """An emulated AWS, for its Secrets Manager."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def secret_arn(secrets_url: str, database_url: str) -> str:
    """A secret as RDS keeps it, with the address of the test's server."""
    parts = psycopg.conninfo.conninfo_to_dict(database_url)
    secret = {
        "engine": "postgres",
        "host": parts["host"],
        "port": int(parts["port"]),
        "username": parts["user"],
        "password": "s3cret",
    }
    client = boto3.client(
        "secretsmanager",
        endpoint_url=secrets_url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    arn: str = client.create_secret(Name=f"db-{uuid4().hex}", SecretString=json.dumps(secret))["ARN"]
    client.close()
    return arn


@pytest.fixture
def environment(secrets_url: str, secret_arn: str, database_url: str) -> dict[str, str]:
    """What the two functions that reach the database are given; the server of the tests has no certificate."""
    return {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "DB_SECRET_ARN": secret_arn,
        "DB_NAME": database_url.rsplit("/", 1)[1],
        "DB_SSL_MODE": "disable",
        "POSTGRES_FUNCTION_NAME": "PostgresFunction",
    }


@pytest.fixture(scope="module")
def postgres_function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The function that PostgreSQL calls, under AWS's runtime client."""
    running = Service(
        tmp_path_factory.mktemp("lambdas"),
        {
            "PostgresFunction": {
                "handler": "callbacks.postgres_function.handler",
                "timeout_seconds": 30,
                "memory_mb": 256,
            }
        },
    )
    yield running
    running.close()


@pytest.fixture(scope="session")
def extension_folder(state_folder: Path) -> Path:
    """The stand-in where the server, which may run under another account, can read it."""
    folder = state_folder / "extensions"
    shutil.copytree(EXTENSIONS, folder / "extension")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    state_folder.chmod(0o755)
    return folder


@pytest.fixture
def aws_database_url(database_url: str, extension_folder: Path) -> str:
    """A database whose server offers `aws_lambda` and `aws_commons`, not created yet."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = sql.Identifier(database_url.rsplit("/", 1)[1])
        path = sql.Literal(f"{extension_folder}:$system")
        connection.execute(sql.SQL("ALTER DATABASE {} SET extension_control_path = {}").format(name, path))
    return database_url
