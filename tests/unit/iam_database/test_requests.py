"""The custom resource's requests that touch no database, and settings that stop the start."""

import os
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from functions.iam_database import initializer, query
from functions.iam_database.settings import InitializerSettings, QuerySettings

VARIABLES = {"RDS_SECRET_NAME": "master", "DB_HOST": "db.example.com", "DB_PORT": "6543", "AWS_REGION": "eu-central-1"}


class Context:
    """A function that has time."""

    def get_remaining_time_in_millis(self) -> int:
        """Return 20 s."""
        return 20_000


@pytest.mark.parametrize("request_type", ["Update", "Delete"])
def test_update_and_delete_keep_the_id_and_do_nothing(request_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They keep whatever id the resource has, and never come near the database (LC-105)."""
    monkeypatch.setattr(initializer, "initialize", lambda *_: pytest.fail("the database was touched"))
    event = {"RequestType": request_type, "PhysicalResourceId": "of-an-older-version"}
    assert initializer.handler(event, Context()) == {"PhysicalResourceId": "of-an-older-version"}


@pytest.mark.parametrize("event", [{"RequestType": "Rebuild"}, {"RequestType": None}, {}])
def test_another_request_raises(event: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what a custom resource may ask (LC-105)."""
    monkeypatch.setattr(initializer, "initialize", lambda *_: pytest.fail("the database was touched"))
    with pytest.raises(ValueError, match="Create, Update or Delete"):
        initializer.handler(event, Context())


def test_the_environment_names_secret_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """RDS_SECRET_NAME, DB_HOST and DB_PORT; the query function has no use for the secret (LC-100, LC-108)."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    read = InitializerSettings()
    assert (read.rds_secret_name, read.db_host, read.db_port) == ("master", "db.example.com", 6543)
    assert not hasattr(QuerySettings(), "rds_secret_name")


@pytest.mark.parametrize(
    ("module", "missing"), [("initializer", "rds_secret_name"), ("initializer", "db_host"), ("query", "db_host")]
)
def test_a_missing_variable_stops_the_start(module: str, missing: str) -> None:
    """The import fails in Lambda, before any request (LC-108)."""
    given = {name: value for name, value in VARIABLES.items() if name != missing.upper()}
    done = subprocess.run(
        [sys.executable, "-c", f"import functions.iam_database.{module}"],
        env={"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_NAME": "f", **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert missing in done.stderr


def test_tls_cannot_be_turned_off_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token goes over a verified connection or not at all (LC-92, LC-100)."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    query.settings.cache_clear()
    assert query.settings()[1].parameters()["sslmode"] == "verify-full"
    query.settings.cache_clear()
    monkeypatch.setenv("DB_SSL_MODE", "disable")
    with pytest.raises(ValueError, match="leave it unset"):
        query.settings()


@pytest.mark.parametrize("name", ["with space", "Upper", "a" * 64, "9lives"])
def test_a_role_name_that_needs_quotes_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be quoted in policies, and a long one is cut off by the server (LC-109)."""
    monkeypatch.setenv("DB_HOST", "x")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("DB_IAM_USER", name)
    with pytest.raises(ValidationError, match="db_iam_user"):
        QuerySettings()
