"""The settings, the pool's limits, logs and metrics."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import structlog
from pydantic import ValidationError

from database import Deadline, Direct, Limits, Secret
from functions.todos import handler as module
from functions.todos.handler import Application
from functions.todos.pool import Pool
from functions.todos.settings import POOL_CONNECTIONS, POOL_IDLE_SECONDS, TodoSettings
from tests.gateway import Context, event_of

ENVIRONMENT = {
    "RDS_HOST": "127.0.0.1",
    "RDS_PORT": "1",
    "RDS_DATABASE": "todos",
    "RDS_USERNAME": "app",
    "RDS_PASSWORD": "pass-word",
    "DB_SSL_MODE": "disable",
    "DYNAMODB_TABLE_NAME": "todos",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
    "DYNAMODB_MAX_ATTEMPTS": "1",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set the variables of the function, with changes; None takes one away."""

    def change(**changes: str | None) -> None:
        for name, value in {**ENVIRONMENT, **changes}.items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)

    change(RDS_PASSWORD_SECRET=None, DYNAMODB_USER_INDEX=None)
    yield change
    # An application sends the events of the whole process through its log.
    structlog.reset_defaults()


def test_the_password_comes_from_the_environment(environment: Callable[..., None]) -> None:
    """The plain variables are enough; port and index have defaults (LC-123, LC-124)."""
    environment(RDS_PORT=None)
    settings = TodoSettings()
    address = settings.address()
    assert isinstance(address, Direct)
    parameters = address.parameters()
    wanted = {"host": "127.0.0.1", "port": 5432, "dbname": "todos", "user": "app", "password": "pass-word"}
    assert {name: parameters[name] for name in wanted} == wanted
    assert settings.dynamodb_user_index == "UserTodosIndex"
    assert "pass-word" not in repr(settings)


def test_a_secret_replaces_the_password(environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """With RDS_PASSWORD_SECRET the password is the secret's; where and who stay the environment's (LC-124)."""

    class Manager:
        def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: N803 - AWS's own name
            assert SecretId == "todos/db"
            return {"SecretString": json.dumps({"password": "from-secret", "host": "elsewhere"})}

    monkeypatch.setattr("functions.todos.settings.secrets_manager", lambda _region: Manager())
    environment(RDS_PASSWORD_SECRET="todos/db")
    address = TodoSettings().address()
    assert isinstance(address, Secret)
    parameters = address.parameters()
    assert (parameters["password"], parameters["host"]) == ("from-secret", "127.0.0.1")


@pytest.mark.parametrize(
    "name", ["RDS_HOST", "RDS_DATABASE", "RDS_USERNAME", "RDS_PASSWORD", "DYNAMODB_TABLE_NAME", "AWS_REGION"]
)
def test_a_missing_variable_stops_the_start(environment: Callable[..., None], name: str) -> None:
    """In Lambda the import fails and names the variable (LC-123)."""
    environment(**{name: None})
    with pytest.raises(ValidationError, match=name if name == "RDS_PASSWORD" else name.lower()):
        TodoSettings()


def test_a_lambda_reads_its_settings_at_the_start() -> None:
    """Importing the handler in Lambda without variables fails at once (LC-123)."""
    done = subprocess.run(
        [sys.executable, "-c", "import functions.todos.handler"],
        env={"AWS_LAMBDA_FUNCTION_NAME": "todos", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "rds_host" in done.stderr


def test_the_limits_of_the_pool_are_those_of_the_spec(environment: Callable[..., None]) -> None:
    """Five connections, 30 s idle, 10 s to connect (LC-136)."""
    assert (POOL_CONNECTIONS, POOL_IDLE_SECONDS) == (5, 30.0)
    assert TodoSettings().limits.connect_timeout == 10.0


class Connections:
    """Stands before libpq: counts what is opened and closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.closed = 0
        monkeypatch.setattr("database.link.connect", self._connect)
        monkeypatch.setattr("database.link.Link._is_well", lambda _link, _connection: True)

    def _connect(self, *_: Any) -> "Connections":
        self.opened += 1
        return self

    def close(self) -> None:
        """Count."""
        self.closed += 1


def test_the_sixth_caller_waits_no_longer_than_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all five in use it fails with a clear error, and succeeds when one has come back (LC-136)."""
    connections = Connections(monkeypatch)
    pool = Pool.of(Direct({}), Limits(), POOL_CONNECTIONS, POOL_IDLE_SECONDS)
    taken = [pool.connection(Deadline.after(5)) for _ in range(5)]
    for each in taken:
        each.__enter__()
    with pytest.raises(psycopg.OperationalError, match="in use"), pool.connection(Deadline.after(0.01)):
        pytest.fail("a sixth connection")
    taken[0].__exit__(None, None, None)
    with pool.connection(Deadline.after(5)):
        assert connections.opened == 5
    for each in taken[1:]:
        each.__exit__(None, None, None)
    assert pool.free == 5


def test_a_connection_that_lay_idle_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 30 s it is closed and another one opened (LC-136)."""
    connections = Connections(monkeypatch)
    now = 100.0
    pool = Pool(Direct({}), Limits(), 5, 30.0, lambda: now)
    for moment in (100.0, 130.0, 160.1):
        now = moment
        with pool.connection(Deadline.after(5)):
            pass
    assert (connections.opened, connections.closed) == (2, 1)


def test_a_connection_goes_back_after_any_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the caller keeps the connection, one of the server closes it; both give it back (LC-136)."""
    connections = Connections(monkeypatch)
    pool = Pool.of(Direct({}), Limits(), 5, 30.0)
    for error, closed in ((ValueError, 0), (psycopg.OperationalError, 1)):
        with pytest.raises(error), pool.connection(Deadline.after(5)):
            raise error
        assert (pool.free, connections.closed) == (5, closed)


@pytest.fixture
def application(environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Application:
    """The application without any store behind it, its log in memory."""
    return Application(TodoSettings())


def test_a_log_line_names_moment_level_request_and_function(
    application: Application, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line is JSON with these four, those of the database package too; no line has a body (LC-141)."""
    log = io.StringIO()
    application.logger.registered_handler.setStream(log)  # type: ignore[attr-defined]
    context = Context(20)
    event = event_of("POST", "/users", {}, json.dumps({"name": "Secret Name", "email": "a@example.com"}))
    assert application.answer(event, context)["statusCode"] == 500
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["database_retry", "database_retry", "store_unavailable", "request"]
    for line in lines:
        assert line["timestamp"]
        assert line["level"] in ("INFO", "WARNING", "ERROR")
        assert (line["request_id"], line["function"]) == (context.aws_request_id, "todos")
    assert "Secret Name" not in log.getvalue()
    assert "pass-word" not in log.getvalue()


def test_each_request_is_measured(application: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of CloudWatch's embedded metric format for each request (LC-141)."""
    application.answer(event_of("GET", "/demo", {}, None), Context(20))
    application.answer(event_of("GET", "/nowhere", {}, None), Context(20))
    printed = capsys.readouterr().out.splitlines()
    first, second = (json.loads(line) for line in printed if line.startswith('{"_aws"'))
    assert first["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Headwater"
    assert (first["service"], first["method"], first["Requests"], first["ClientErrors"]) == (
        "todos",
        "GET",
        [1.0],
        [0.0],
    )
    assert second["ClientErrors"] == [1.0]
    assert second["Duration"][0] > 0


def test_both_payload_formats_are_answered(application: Application) -> None:
    """Format 2.0 with a named stage, and format 1.0 of a REST API (LC-122)."""
    staged = event_of("GET", "/prod/demo", {}, None)
    staged["requestContext"]["stage"] = "prod"
    rest = {
        "version": "1.0",
        "httpMethod": "GET",
        "path": "/demo",
        "headers": {},
        "requestContext": {"stage": "prod", "path": "/prod/demo"},
        "body": None,
        "isBase64Encoded": False,
    }
    for event in (staged, rest):
        answered = application.answer(event, Context(20))
        assert answered["statusCode"] == 200, answered
    assert application.answer({"Records": []}, None)["statusCode"] == 400


@pytest.mark.parametrize("body", ["{", "", None, "[" * 100_000])
def test_a_body_that_is_no_json_is_a_bad_request(application: Application, body: str | None) -> None:
    """400, whatever it is instead (LC-135)."""
    answered = application.answer(event_of("POST", "/users", {}, body), Context(20))
    assert (answered["statusCode"], json.loads(answered["body"])) == (400, {"error": "Request body is not valid JSON"})
    broken = {**event_of("POST", "/users", {}, "%%%"), "isBase64Encoded": True}
    assert application.answer(broken, Context(20))["statusCode"] == 400


def test_the_application_of_a_process_is_made_once(environment: Callable[..., None]) -> None:
    """Warm invocations share the stores' connections (LC-136)."""
    module.application.cache_clear()
    assert module.application() is module.application()
    module.application.cache_clear()
