"""The gateway as a process of its own before the embedded PostgreSQL, with a master user that is no superuser."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from stack.ports import free_ports
from tests.waiting import eventually

REGION = "eu-central-1"
KEYS = {
    "AKIALOCAL": {"secret_key": "a-local+secret/key"},
    "ASIATEMP": {"secret_key": "another", "session_token": "a+temporary/session=" * 40},
}
MASTER_PASSWORD = "the master's own"


class Database:
    """A database, its master user, and a role name that is free for IAM."""

    def __init__(self, url: str, suffix: str) -> None:
        self.url = url
        parts = conninfo_to_dict(url)
        self.name = str(parts["dbname"])
        self.port = int(str(parts["port"]))
        self.master = f"master_{suffix}"
        self.iam_user = f"iam_{suffix}"

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what the server says to its superuser, without the gateway."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def make_iam_user(self) -> None:
        """Make the role as an operator would."""
        self.ask(f"CREATE ROLE {self.iam_user} LOGIN")
        self.ask(f"GRANT rds_iam TO {self.iam_user}")


class Gateway:
    """A running gateway."""

    def __init__(self, folder: Path, database: Database, **settings: Any) -> None:
        self.database = database
        self.port = free_ports(1)[0]
        self.ca = folder / "ca.pem"
        self.log = folder / f"gateway-{self.port}.log"
        given = {
            "port": self.port,
            "region": REGION,
            "credentials": json.dumps(KEYS),
            "master_user": database.master,
            "master_password": MASTER_PASSWORD,
            "upstream_port": database.port,
            "certificates": folder,
            **settings,
        }
        variables = {f"IAM_GATEWAY_{name.upper()}": str(value) for name, value in given.items()}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack.iam_gateway"], stdout=log, stderr=log, env={**os.environ, **variables}
            )
        eventually(self._answers, "the gateway answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def parameters(self, **given: Any) -> dict[str, Any]:
        """Return libpq's parameters for the IAM role, less the password."""
        return {
            "host": "localhost",
            "port": self.port,
            "user": self.database.iam_user,
            "dbname": self.database.name,
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca),
            "connect_timeout": 20,
            **given,
        }

    def token(self, key: str = "AKIALOCAL", host: str = "localhost", user: str | None = None) -> str:
        """Return a token that boto3 makes now."""
        session = boto3.Session(key, KEYS[key]["secret_key"], KEYS[key].get("session_token"), region_name=REGION)
        token: str = session.client("rds").generate_db_auth_token(host, self.port, user or self.database.iam_user)
        return token

    def connect(self, **given: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """Log in through the gateway, by a token unless another password is given."""
        parameters = self.parameters(**given)
        parameters.setdefault("password", self.token(user=parameters["user"]))
        return psycopg.connect(**parameters, autocommit=True)

    def refusal(self, **given: Any) -> str:
        """Return what a login that must fail is told."""
        with pytest.raises(psycopg.OperationalError) as refused:
            self.connect(**given).close()
        return str(refused.value)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the events of this name in the log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def memory(self) -> int:
        """Return the bytes that the process holds."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def sockets(self) -> int:
        """Return how many connections the process has, on either side."""
        return sum(each.status == "ESTABLISHED" for each in psutil.Process(self.process.pid).net_connections())

    def close(self) -> None:
        """Stop it; its end must be orderly, and nothing of a secret in its log."""
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()
        text = self.log.read_text()
        assert "Traceback" not in text
        for secret in ("X-Amz-Signature", "a-local+secret/key", MASTER_PASSWORD, "a+temporary/session"):
            assert secret not in text


Start = Callable[..., Gateway]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of a master user that may create roles, as RDS's may, and is no superuser."""
    made = Database(database_url, uuid4().hex[:12])
    made.ask(f"CREATE ROLE {made.master} LOGIN CREATEROLE")
    # With it comes the schema public, which belongs to the owner of the database.
    made.ask(f"ALTER DATABASE {made.name} OWNER TO {made.master}")
    yield made
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN (%s, %s)",
            (made.master, made.iam_user),
        )
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(sql.Identifier(made.name)))
        for role in (made.iam_user, made.master):
            if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
                admin.execute(sql.SQL("REASSIGN OWNED BY {} TO postgres").format(sql.Identifier(role)))
                admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role)))
        for role in (made.iam_user, made.master):
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def start(tmp_path: Path, database: Database) -> Iterator[Start]:
    """Start gateways with settings of the test's own."""
    with ExitStack() as running:

        def started(**settings: Any) -> Gateway:
            gateway = Gateway(tmp_path, database, **settings)
            running.callback(gateway.close)
            return gateway

        yield started


@pytest.fixture
def gateway(start: Start) -> Gateway:
    """A gateway before a fresh database."""
    return start()
