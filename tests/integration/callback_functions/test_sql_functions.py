"""The SQL functions: what they ask for and what they give back, with a stand-in for AWS's extension."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from callbacks.__main__ import main
from callbacks.setup import FUNCTIONS, install

AWKWARD = 'it\'s a $$ "name" \\ {0} %s; DROP TABLE x; --'


def _installed(url: str, name: str = "PostgresFunction", region: str = "eu-west-1") -> psycopg.Connection[Any]:
    connection = psycopg.connect(url, autocommit=True)
    install(connection, name, region)
    return connection


def _one(connection: psycopg.Connection[Any], query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


@pytest.mark.parametrize("action", ["process", "transform", "validate"])
def test_a_function_calls_lambda_and_returns_its_payload(aws_database_url: str, action: str) -> None:
    """The target is built from name and region, the call waits, the payload comes back whole (LC-90, LC-91)."""
    with _installed(aws_database_url) as connection:
        answer = _one(connection, f"SELECT {action}_data(%s)", Jsonb({"id": 1}))
        request = {"action": action, "data": {"id": 1}}
        assert answer == {"statusCode": 200, "body": request}
        called = _one(connection, "SELECT function_name, region, payload, invocation_type FROM aws_lambda.calls")
        assert called == ("PostgresFunction", "eu-west-1", request, "RequestResponse")


def test_a_verdict_comes_back_bare(aws_database_url: str) -> None:
    """`validate_event` sends the event and returns `valid`, `errors` and `version` (LC-99)."""
    verdict = {"valid": True, "errors": [], "version": "v1"}
    with _installed(aws_database_url) as connection:
        connection.execute(
            "INSERT INTO aws_lambda.answers VALUES ('validate_event', %s)",
            (Jsonb({"statusCode": 200, "body": verdict}),),
        )
        assert _one(connection, "SELECT validate_event(%s)", Jsonb({"a": 1})) == verdict
        assert _one(connection, "SELECT payload FROM aws_lambda.calls") == {
            "action": "validate_event",
            "data": {"a": 1},
        }


@pytest.mark.parametrize("payload", [{"statusCode": 500, "body": {"status": "error", "message": "no way"}}, {}, None])
def test_an_answer_without_a_verdict_is_an_error(aws_database_url: str, payload: Any) -> None:
    """Nobody takes an error of the validator for a valid event (LC-99)."""
    with _installed(aws_database_url) as connection:
        connection.execute("INSERT INTO aws_lambda.answers VALUES ('validate_event', %s)", (Jsonb(payload),))
        with pytest.raises(psycopg.errors.RaiseException, match="the validator gave no verdict"):
            connection.execute("SELECT validate_event('{}')")


def test_names_are_quoted(aws_database_url: str) -> None:
    """Whatever stands in name and region arrives as it is, and nothing of it runs (LC-96)."""
    with _installed(aws_database_url, AWKWARD, AWKWARD[::-1]) as connection:
        for function in ("process_data", "transform_data", "validate_data"):
            connection.execute(f"SELECT {function}('{{}}')".encode())
        with pytest.raises(psycopg.errors.RaiseException):
            connection.execute("SELECT validate_event('{}')")
        called = connection.execute("SELECT DISTINCT function_name, region FROM aws_lambda.calls").fetchall()
        assert called == [(AWKWARD, AWKWARD[::-1])]


def test_the_setup_may_be_repeated_and_changed(aws_database_url: str) -> None:
    """A second run changes nothing but the target, and keeps a validation that was enabled (LC-93)."""
    with _installed(aws_database_url, "First") as connection:
        connection.execute("CREATE TABLE business_events (id varchar PRIMARY KEY, event_data jsonb)")
        connection.execute("SELECT enable_event_validation()")
        install(connection, "Second", "us-east-1")
        connection.execute("SELECT process_data('{}')")
        assert _one(connection, "SELECT function_name, region FROM aws_lambda.calls") == ("Second", "us-east-1")
        assert _one(connection, "SELECT count(*) FROM pg_trigger WHERE tgname = 'event_is_valid'") == 1
        names = connection.execute(
            "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        assert sorted(FUNCTIONS) == [name for (name,) in names]


def test_a_failed_setup_leaves_nothing(database_url: str) -> None:
    """Where the server has no such extension, the error says so and no function is there (LC-93)."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET extension_control_path = '$system'")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="aws_lambda"):
            install(connection, "PostgresFunction", "us-east-1")
        assert _one(connection, "SELECT count(*) FROM pg_proc WHERE proname = 'process_data'") == 0


def test_the_command_does_the_same(
    aws_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m callbacks` takes the database of the settings; exit code 1 and 2 name a remedy (LC-93)."""
    monkeypatch.setenv("DATABASE_URL", aws_database_url)
    monkeypatch.setenv("POSTGRES_FUNCTION_NAME", "PostgresFunction")
    monkeypatch.delenv("AWS_REGION", raising=False)
    assert main() == 2
    assert "AWS_REGION" in capsys.readouterr().err
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert main() == 0
    assert "process_data" in capsys.readouterr().out
    monkeypatch.setenv("DATABASE_URL", aws_database_url.replace("postgres@", "postgres:s3cret@") + "_missing")
    assert main() == 1
    told = capsys.readouterr().err
    assert "Check DATABASE_URL" in told
    assert "s3cret" not in told
