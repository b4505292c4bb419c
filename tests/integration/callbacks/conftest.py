"""A database with the extension, a Lambda service with one function, and a bridge between them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Postgres
from tests.integration.callbacks.bridges import Bridge, callee
from tests.integration.lambdas.conftest import Service


@pytest.fixture(scope="module")
def lambdas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A Lambda service that the tests of a module share."""
    service = Service(
        tmp_path_factory.mktemp("lambdas"), {"callee": callee(), "single": callee(concurrency=1)}, concurrency=16
    )
    yield service
    service.close()


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[str]:
    """A database with the extension, which the tests of a module share."""
    name = f"callbacks_{uuid4().hex}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with psycopg.connect(postgres.dsn(name), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS aws_lambda CASCADE")
        yield postgres.dsn(name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def bridge(database: str, lambdas: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A running bridge that the tests of a module share."""
    started = Bridge(database, lambdas.url, tmp_path_factory.mktemp("bridge") / "log").ready()
    yield started
    assert started.close() == 0, started.log.read_text()


@pytest.fixture
def session(database: str) -> Iterator[psycopg.Connection]:
    """A session at the database, in autocommit."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def closing(tmp_path: Path) -> Iterator[ExitStack]:
    """What a test starts, ended after it."""
    with ExitStack() as stack:
        yield stack
