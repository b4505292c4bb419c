"""The API over a fresh database of the embedded PostgreSQL, reached by the variables that a Lambda would have."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask.testing import FlaskClient
from psycopg.conninfo import conninfo_to_dict

from functions.serverless_api.application import create_application
from functions.serverless_api.engine import Database
from functions.serverless_api.init_db import initialise
from functions.serverless_api.settings import ApiSettings

MakeDatabase = Callable[..., Database]


def local(url: str) -> dict[str, str]:
    """Return the variables of a database of this machine."""
    parts = conninfo_to_dict(url)
    names = {"DB_HOST": "host", "DB_PORT": "port", "DB_NAME": "dbname", "DB_USER": "user", "DB_PASSWORD": "password"}
    found = {ours: str(parts[theirs]) for ours, theirs in names.items() if parts.get(theirs)}
    return {"USE_LOCAL_DB": "true", **found}


@pytest.fixture
def make_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDatabase]:
    """Make databases by variables that are set over those of the local one; closed after the test."""
    for name in ApiSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    with ExitStack() as made:

        def make(**variables: Any) -> Database:
            for name, value in {**local(database_url), **variables}.items():
                monkeypatch.setenv(name, str(value))
            database = Database(ApiSettings())
            made.callback(database.close)
            return database

        yield make


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    """A prepared database."""
    made = make_database()
    initialise(made)
    return made


@pytest.fixture
def client(database: Database) -> FlaskClient:
    """A client of the WSGI application."""
    return create_application(database).test_client()
