"""Both functions under the local Lambda service, against the gateway, with the secret in moto's Secrets Manager."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from functions.iam_database.deployment import INITIALIZER, QUERY
from tests.integration.lambdas.conftest import Service
from tests.waiting import eventually

from .conftest import KEYS, MASTER_PASSWORD, REGION, Database, Gateway

CREATE = {"RequestType": "Create", "ResourceProperties": {}}
DONE = {"PhysicalResourceId": "CreateTable"}
SECRET = "rds!cluster-master"


@pytest.fixture(scope="module")
def secrets() -> Iterator[Any]:
    """The client of an emulated Secrets Manager, and its address."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "secretsmanager",
        endpoint_url=f"http://{host}:{port}",
        region_name=REGION,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    yield client
    client.close()
    server.stop()


class System:
    """The two functions, deployed."""

    def __init__(self, folder: Path, gateway: Gateway, secrets: Any, **changed: str) -> None:
        self.gateway = gateway
        self.database: Database = gateway.database
        own = {
            "DB_HOST": "localhost",
            "DB_PORT": str(gateway.port),
            "DB_NAME": self.database.name,
            "DB_IAM_USER": self.database.iam_user,
            "DB_SSL_ROOT_CERT": str(gateway.ca),
            "AWS_ACCESS_KEY_ID": "AKIALOCAL",
            "AWS_SECRET_ACCESS_KEY": KEYS["AKIALOCAL"]["secret_key"],
            **changed,
        }
        secret = {"RDS_SECRET_NAME": SECRET, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.meta.endpoint_url}
        plans = {"initializer": (INITIALIZER, {**own, **secret}), "query": (QUERY, own)}
        self.service = Service(
            folder,
            {
                name: {
                    "handler": plan.handler,
                    "timeout_seconds": 40,
                    "memory_mb": plan.memory,
                    "environment": environment,
                }
                for name, (plan, environment) in plans.items()
            },
            region=REGION,
        )

    def initialize(self, event: Any = CREATE) -> Any:
        """Return what the initializer answers, an error too."""
        return self.service.invoke(event, "initializer")["value"]

    def query(self) -> Any:
        """Return what the query function answers."""
        return self.service.invoke({"source": "aws.events"}, "query")["value"]

    def dates(self) -> list[Any]:
        """Return the dates of the table."""
        return [row[0] for row in self.database.ask("SELECT query_date FROM queries ORDER BY id")]

    def sessions(self) -> int:
        """Return how many sessions the two roles have."""
        names = [self.database.iam_user, self.database.master]
        (row,) = self.database.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = ANY(%s)", names)
        return int(row[0])


@pytest.fixture
def secret(secrets: Any, database: Database) -> Iterator[Any]:
    """The master user's secret, with what RDS keeps in it: a name and a password."""
    text = json.dumps({"username": database.master, "password": MASTER_PASSWORD})
    secrets.create_secret(Name=SECRET, SecretString=text)
    yield secrets
    secrets.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def system(tmp_path: Path, gateway: Gateway, secret: Any) -> Iterator[System]:
    """The functions before a database in which nothing was made yet."""
    made = System(tmp_path, gateway, secret)
    yield made
    made.service.close()
    log = made.service.log.read_text()
    assert MASTER_PASSWORD not in log
    assert "X-Amz-Signature" not in log


def test_a_deployment_initialises_once_and_queries_daily(system: System) -> None:
    """Create twice, query twice: two rows of today, by tokens alone (LC-100, LC-102, LC-103, LC-105, LC-106)."""
    assert [system.initialize(), system.initialize()] == [DONE, DONE]
    today = datetime.now(UTC).date()
    assert [system.query(), system.query()] == [True, True]
    assert set(system.dates()) <= {today, datetime.now(UTC).date()}
    assert len(system.dates()) == 2
    columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'queries' ORDER BY 1"
    assert system.database.ask(columns) == [("id", "integer"), ("query_date", "date")]
    assert system.database.ask("SELECT contype FROM pg_constraint WHERE conname = 'queries_pkey'") in (
        [("p",)],
        [(b"p",)],
    )
    assert system.initialize() == DONE
    assert len(system.dates()) == 2
    ways = [(line["user"] == system.database.iam_user, line["by"]) for line in system.gateway.logged("login")]
    assert ways == [(False, "password")] * 2 + [(True, "token")] * 2 + [(False, "password")]
    eventually(lambda: system.sessions() == 0, "no session outlives a call")


def test_update_and_delete_leave_the_database_alone(system: System) -> None:
    """They keep the id, and no login was made (LC-105)."""
    for kind in ("Update", "Delete"):
        assert system.initialize({"RequestType": kind, **DONE}) == DONE
    assert system.initialize({"RequestType": "Rebuild"})["errorType"] == "ValueError"
    assert system.gateway.logged("login") == []


def test_the_role_may_insert_and_nothing_else(system: System) -> None:
    """It can neither log in by a password nor read, change, create or become anything (LC-100, LC-109)."""
    system.database.ask("CREATE TABLE private (id int)")
    assert system.initialize() == DONE
    role = system.database.iam_user
    with system.gateway.connect(user=system.database.master, password=MASTER_PASSWORD) as master:
        master.execute(f"ALTER ROLE {role} PASSWORD 'known'".encode())
    assert "PAM authentication failed" in system.gateway.refusal(password="known")
    with system.gateway.connect() as connection:
        connection.execute("INSERT INTO queries (query_date) VALUES (CURRENT_DATE)")
        for statement in (
            b"SELECT * FROM queries",
            b"UPDATE queries SET query_date = NULL",
            b"DELETE FROM queries",
            b"TRUNCATE queries",
            b"DROP TABLE queries",
            b"SELECT * FROM private",
            b"CREATE TABLE mine (id int)",
            b"CREATE SCHEMA mine",
            b"CREATE ROLE another",
            f"ALTER ROLE {role} CREATEROLE".encode(),
            f"SET ROLE {system.database.master}".encode(),
            b"SELECT setval('queries_id_seq', 1)",
            b"COPY queries TO PROGRAM 'true'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("CREATE TABLE queries (id serial PRIMARY KEY, query_date text)", "another table public.queries"),
        ("CREATE VIEW queries AS SELECT 1 AS id", "another table public.queries"),
        ("CREATE ROLE {iam_user} CREATEDB", "name another role"),
    ],
)
def test_a_creation_that_fails_fails_the_deployment(spoil: str, words: str, system: System) -> None:
    """The function raises, says why, and leaves nothing half made (LC-104)."""
    system.database.ask(spoil.format(iam_user=system.database.iam_user))
    before = system.database.ask("SELECT rolname FROM pg_roles ORDER BY 1")
    answer = system.service.invoke(CREATE, "initializer")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "InitializationError"
    assert words in answer["value"]["errorMessage"]
    assert system.database.ask("SELECT rolname FROM pg_roles ORDER BY 1") == before
    eventually(lambda: system.sessions() == 0, "the connection was closed")


def test_a_wrong_password_fails_the_deployment_and_is_not_told(system: System, secret: Any) -> None:
    """The master's password is refused by the gateway; a missing secret is named (LC-104, LC-108)."""
    text = json.dumps({"username": system.database.master, "password": "guessed-wrong"})
    secret.put_secret_value(SecretId=SECRET, SecretString=text)
    answer = system.initialize()
    assert "password authentication failed" in answer["errorMessage"]
    assert "guessed-wrong" not in json.dumps(answer)
    secret.put_secret_value(SecretId=SECRET, SecretString="no JSON")
    assert f"the secret {SECRET} is no JSON object" in system.initialize()["errorMessage"]


def test_a_failed_query_answers_false_and_leaves_no_connection(system: System) -> None:
    """Refused at the login, then at the insert; each is logged, and the next one works (LC-106, LC-111)."""
    assert system.query() is False
    assert system.initialize() == DONE
    system.database.ask("ALTER TABLE queries RENAME TO hidden")
    assert system.query() is False
    eventually(lambda: system.sessions() == 0, "the connection was closed")
    eventually(lambda: system.gateway.sockets() == 0, "nothing is left of the failed login")
    system.database.ask("ALTER TABLE hidden RENAME TO queries")
    assert system.query() is True
    lines = [json.loads(line["line"]) for line in system.service.logged("function_log") if "query_failed" in str(line)]
    assert [line["failure"] for line in lines] == ["denied", "unknown"]


def test_a_query_without_the_right_certificate_or_key_answers_false(
    tmp_path: Path, gateway: Gateway, secret: Any
) -> None:
    """No token goes to a server that is not trusted, and none without a known key gets in (LC-11, LC-92, LC-106)."""
    gateway.database.make_iam_user()
    for changed, logins in (({"DB_SSL_ROOT_CERT": "system"}, 0), ({"AWS_SECRET_ACCESS_KEY": "another"}, 1)):
        system = System(tmp_path, gateway, secret, **changed)
        try:
            assert system.query() is False
        finally:
            system.service.close()
        assert len(gateway.logged("login_refused")) == logins
