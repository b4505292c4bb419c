"""The function that calls PostgreSQL, invoked by the AWS SDK under AWS's runtime client."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callbacks.settings import SecretSettings
from database import TlsSettings
from tests.integration.lambdas.conftest import Service

Start = Callable[[dict[str, str]], Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the function with an environment of the test's own."""
    running: list[Service] = []

    def started(environment: dict[str, str]) -> Service:
        function = {
            "handler": "callbacks.lambda_to_postgres.handler",
            "timeout_seconds": 15,
            "memory_mb": 256,
            "environment": environment,
        }
        running.append(Service(tmp_path, {"LambdaToPostgres": function}))
        return running[-1]

    yield started
    for service in running:
        service.close()


def _call(service: Service, event: Any) -> dict[str, Any]:
    value: dict[str, Any] = service.invoke(event, "LambdaToPostgres")["value"]
    return value


def _records(service: Service, event: Any) -> list[dict[str, Any]]:
    answer = _call(service, event)
    assert answer["statusCode"] == 200, answer
    assert answer["body"]["message"] == "Query executed successfully"
    records: list[dict[str, Any]] = answer["body"]["records"]
    return records


def test_a_message_is_stored_and_the_newest_ten_come_back(
    start: Start, environment: dict[str, str], database_url: str
) -> None:
    """The table is made at the first call, the default message stands in for none (LC-80, LC-81, LC-82, LC-83)."""
    service = start(environment)
    (first,) = _records(service, {})
    assert first["message"] == "Hello from Lambda!"
    datetime.fromisoformat(first["created_at"])
    for number in range(11):
        records = _records(service, {"message": f"message {number}"})
    assert [record["message"] for record in records] == [f"message {number}" for number in range(10, 0, -1)]
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
            " WHERE table_name = 'demo_table' ORDER BY ordinal_position"
        ).fetchall()
        key = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'demo_table'::regclass"
            " AND contype = 'p'"
        ).fetchone()
    assert columns == [
        ("id", "integer", "NO", "nextval('demo_table_id_seq'::regclass)"),
        ("message", "text", "NO", None),
        ("created_at", "timestamp without time zone", "YES", "now()"),
    ]
    assert key == ("PRIMARY KEY (id)",)


def test_first_calls_at_once_all_succeed(start: Start, environment: dict[str, str], database_url: str) -> None:
    """Several instances that find no table make it once (LC-80)."""
    service = start(environment)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: _call(service, {}), range(4)))
    assert [answer["statusCode"] for answer in answers] == [200] * 4, answers
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM demo_table").fetchone() == (4,)


def test_the_server_is_verified_unless_told_otherwise(start: Start, environment: dict[str, str]) -> None:
    """Without DB_SSL_MODE=disable a server without a certificate is refused, and the password is not told (LC-92)."""
    service = start({name: value for name, value in environment.items() if name != "DB_SSL_MODE"})
    answer = _call(service, {})
    assert answer["statusCode"] == 500
    assert answer["body"]["message"] == "Error executing query"
    assert "SSL" in answer["body"]["error"]
    assert "s3cret" not in json.dumps(answer) + service.log.read_text()
    assert TlsSettings().parameters() == {"sslmode": "verify-full", "sslrootcert": "system"}


def test_a_failure_of_the_database_is_an_answer(start: Start, environment: dict[str, str], database_url: str) -> None:
    """A table that does not fit is told with 500, and the next call works again (LC-82)."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE demo_table (id int)")
        service = start(environment)
        answer = _call(service, {"message": "x"})
        assert answer["statusCode"] == 500
        assert set(answer["body"]) == {"message", "error"}
        assert "message" in answer["body"]["error"]
        connection.execute("DROP TABLE demo_table")
    assert len(_records(service, {"message": "x"})) == 1


@pytest.mark.parametrize("message", [7, ["x"], "a\0b"])
def test_a_message_that_is_no_text_is_refused(start: Start, environment: dict[str, str], message: Any) -> None:
    """Nothing is stored, and the answer says what a message must be (LC-82)."""
    answer = _call(start(environment), {"message": message})
    assert answer["statusCode"] == 400
    assert "must be text" in answer["body"]["error"]


def test_a_secret_that_cannot_be_read_is_told_with_the_remedy(start: Start, environment: dict[str, str]) -> None:
    """The answer names the secret and what the role needs (LC-80, LC-82)."""
    answer = _call(start({**environment, "DB_SECRET_ARN": "no-such-secret"}), {})
    assert answer["statusCode"] == 500
    assert "secretsmanager:GetSecretValue" in answer["body"]["error"]


def test_a_missing_variable_is_a_start_error(start: Start, environment: dict[str, str]) -> None:
    """Lambda says which variable is missing before the first request is answered (LC-83)."""
    del environment["DB_SECRET_ARN"]
    answer = start(environment).invoke({}, "LambdaToPostgres")
    assert answer["FunctionError"] == "Unhandled"
    assert "db_secret_arn" in answer["value"]["errorMessage"].lower()


def test_the_database_is_demodb_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DB_NAME` has the default `demodb` (LC-83)."""
    monkeypatch.setenv("DB_SECRET_ARN", "any")
    monkeypatch.delenv("DB_NAME", raising=False)
    assert SecretSettings().db_name == "demodb"
