"""Which variables choose which way to the database."""

from typing import Any

import pytest
from pydantic import ValidationError

from database import Direct, IamToken, Secret
from functions.serverless_api.settings import ApiSettings, in_lambda

_PARTS = {"DB_HOST": "db.internal", "DB_NAME": "cars", "DB_USER": "app", "DB_PASSWORD": "hunter2"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Read settings from these variables alone."""
    for name in ApiSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def read(**variables: str) -> ApiSettings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return ApiSettings()

    return read


@pytest.mark.parametrize(
    ("switches", "method", "kind"),
    [
        ({}, "direct", Direct),
        ({"USE_RDS_PROXY": "true"}, "proxy", Direct),
        ({"USE_SECRETS_MANAGER": "true", "DB_SECRET_NAME": "s"}, "direct, by secret", Secret),
        ({"USE_SECRETS_MANAGER": "true", "DB_SECRET_NAME": "s", "USE_RDS_PROXY": "1"}, "proxy, by secret", Secret),
        ({"USE_IAM_AUTH": "true", "USE_RDS_PROXY": "true"}, "proxy, by IAM token", IamToken),
    ],
)
def test_configuration_alone_chooses_the_method(settings: Any, switches: Any, method: str, kind: type) -> None:
    """Direct, by proxy, with the password from the environment or from a secret (LC-150, LC-151, LC-165)."""
    read = settings(**_PARTS, **switches)
    assert (read.method, type(read.address())) == (method, kind)


def test_a_cloud_database_is_reached_by_the_parts_over_verified_tls(settings: Any) -> None:
    """Host, port, name, user and password; the server's certificate is checked (LC-151)."""
    parameters = settings(**_PARTS, DB_PORT="6543").address().parameters()
    expected = {"host": "db.internal", "port": 6543, "dbname": "cars", "user": "app", "password": "hunter2"}
    assert {name: parameters[name] for name in expected} == expected
    assert parameters["sslmode"] == "verify-full"


def test_a_local_database_needs_one_switch(settings: Any) -> None:
    """`USE_LOCAL_DB` is enough, wants no TLS, and excludes what is of AWS (LC-155)."""
    parameters = settings(USE_LOCAL_DB="true").address().parameters()
    assert (parameters["host"], parameters["dbname"], parameters["sslmode"]) == ("127.0.0.1", "vehicles", "disable")
    with pytest.raises(ValidationError, match="USE_LOCAL_DB is for a database of this machine"):
        settings(USE_SECRETS_MANAGER="true", DB_SECRET_NAME="s")


def test_lambda_is_detected_by_the_variable_of_its_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """`AWS_LAMBDA_FUNCTION_NAME` (LC-155)."""
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    assert not in_lambda()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    assert in_lambda()


def test_the_defaults_are_one_connection_and_these_timeouts(settings: Any) -> None:
    """5 s to connect, 60 s for a statement, at least 30 s to wake (LC-152, LC-153, LC-154)."""
    read = settings(**_PARTS)
    assert (read.db_pool_size, read.limits.connect_timeout) == (1, 5.0)
    assert read.address().parameters()["options"] == "-c statement_timeout=60000"
    assert read.db_wake_seconds >= 30
    with pytest.raises(ValidationError, match="greater than or equal to 30"):
        settings(DB_WAKE_SECONDS="29")


def test_nothing_pins_a_session_of_the_proxy(settings: Any) -> None:
    """No options and no named statements (LC-150, LC-152)."""
    read = settings(**_PARTS, USE_RDS_PROXY="true")
    assert "options" not in read.address().parameters()
    assert not read.limits.prepare_statements


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "set DB_HOST, DB_NAME, DB_USER, DB_PASSWORD"),
        ({"USE_SECRETS_MANAGER": "true"}, "set DB_SECRET_NAME"),
        ({"USE_SECRETS_MANAGER": "true", "USE_IAM_AUTH": "true"}, "choose one"),
        ({"USE_RDS_PROXY": "maybe"}, "write true or false"),
    ],
)
def test_what_is_missing_is_named_and_no_value_shown(settings: Any, variables: Any, told: str) -> None:
    """The error says what to set (LC-151)."""
    with pytest.raises(ValidationError, match=told) as caught:
        settings(**variables, DB_PORT="5432")
    assert "5432" not in str(caught.value)
