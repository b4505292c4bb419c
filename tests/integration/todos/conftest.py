"""Both stores for real, with a switch before each, and the application in this process."""

import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest
import structlog
from psycopg.conninfo import conninfo_to_dict

from database import RetryPolicy
from functions.todos import items, setup
from functions.todos.handler import Application
from functions.todos.settings import TodoSettings
from functions.todos.system import System
from functions.todos.users import Users
from stack import dynamodb, maven
from stack.ports import free_ports
from stack.settings import StackSettings
from tests.gateway import Context, event_of
from tests.integration.todos.switch import Switch
from tests.waiting import eventually


class DynamoDb:
    """A running DynamoDB Local that may be killed and started again with the same data."""

    def __init__(self, cache: Path, data: Path) -> None:
        self.port = free_ports(1)[0]
        self._service = dynamodb.service(cache, data, self.port)
        self._log = data / "log"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("a") as log:
            self.process = subprocess.Popen(self._service.command, stdout=log, stderr=log)
        eventually(self._service.ready, "DynamoDB Local answers")

    def kill(self) -> None:
        """End it without a warning."""
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="session")
def dynamodb_local(stack_settings: StackSettings, state_folder: Path) -> Iterator[DynamoDb]:
    """Amazon's DynamoDB Local, its data on disk."""
    maven.fetch(maven.missing((dynamodb.BUNDLE,), stack_settings.cache_dir), stack_settings.cache_dir, maven.silent)
    running = DynamoDb(stack_settings.cache_dir, state_folder / "dynamodb")
    yield running
    running.kill()


@dataclass(frozen=True, slots=True)
class World:
    """The application, its stores without a switch, and the switches."""

    settings: TodoSettings
    application: Application
    postgres: Switch
    dynamodb: Switch
    table: Any
    database_url: str
    log: io.StringIO
    direct: psycopg.Connection[tuple[Any, ...]]

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = None, seconds: float = 20
    ) -> tuple[int, dict[str, Any]]:
        """Make one request as API Gateway would; return status and answer."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        answered = self.application.answer(event_of(method, path, headers, text), Context(seconds))
        return answered["statusCode"], json.loads(answered["body"])

    def user(self, **given: str) -> dict[str, Any]:
        """Create a user with an address of their own."""
        status, said = self.call("POST", "/users", {"name": "Ada", "email": f"{uuid4().hex}@example.com", **given})
        assert status == 201, said
        user: dict[str, Any] = said["user"]
        return user

    def todo(self, user_id: str, **given: Any) -> dict[str, Any]:
        """Create a todo."""
        status, said = self.call("POST", f"/users/{user_id}/todos", {"title": "Task", **given})
        assert status == 201, said
        todo: dict[str, Any] = said["todo"]
        return todo

    def heal(self) -> None:
        """Let both stores be reached."""
        self.postgres.heal()
        self.dynamodb.heal()

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement in PostgreSQL itself."""
        cursor = self.direct.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def stored(self) -> dict[str, str]:
        """Return every todo of the table itself with its user."""
        pages = self.table.meta.client.get_paginator("scan").paginate(TableName=self.table.name, ConsistentRead=True)
        return {item["id"]: item["user_id"] for page in pages for item in page["Items"]}


def build(settings: TodoSettings) -> Application:
    """Return an application that does not wait long between tries."""
    system = System.of(settings)
    quick = RetryPolicy(attempts=2, first_wait=0.001, longest_wait=0.01)
    return Application(settings, System(Users(system.pool, quick), system.items, system.pool, system.now))


@pytest.fixture
def world(database_url: str, dynamodb_local: DynamoDb, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A new database and table behind switches, and the application on them."""
    where = conninfo_to_dict(database_url)
    postgres, dynamo = Switch(int(str(where["port"]))), Switch(dynamodb_local.port)
    table = f"todos-{uuid4().hex}"
    environment = {
        "RDS_HOST": "127.0.0.1",
        "RDS_PORT": str(postgres.port),
        "RDS_DATABASE": str(where["dbname"]),
        "RDS_USERNAME": str(where["user"]),
        "RDS_PASSWORD": "not-a-secret",
        "DB_SSL_MODE": "disable",
        "DYNAMODB_TABLE_NAME": table,
        "DYNAMODB_MAX_ATTEMPTS": "1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{dynamo.port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "ORPHAN_GRACE_SECONDS": "900",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = TodoSettings()
    setup.create_users(settings)
    setup.create_items(settings, items.client(settings))
    application = build(settings)
    direct = boto3.resource("dynamodb", endpoint_url=f"http://127.0.0.1:{dynamodb_local.port}", region_name="us-east-1")
    log = io.StringIO()
    admin = psycopg.connect(database_url, autocommit=True)
    # The logger of a service is one for the process, and keeps the output that it met first.
    application.logger.registered_handler.setStream(log)
    made = World(settings, application, postgres, dynamo, direct.Table(table), database_url, log, admin)
    yield made
    # The application sends the events of the whole process through its log.
    structlog.reset_defaults()
    admin.close()
    application.system.pool.close()
    made.table.delete()
    direct.meta.client.close()
    postgres.close()
    dynamo.close()
