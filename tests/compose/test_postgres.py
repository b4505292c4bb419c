"""The PostgreSQL image of the compose stack, as its variables promise."""

from typing import Any

import psycopg
import pytest

from tests.waiting import eventually

_PASSWORD = "open sesame"


@pytest.fixture(scope="module")
def server(containers: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with an account, a database, a password in a file, an SQL file and arguments."""
    folder = tmp_path_factory.mktemp("postgres")
    (folder / "password").write_text(f"{_PASSWORD}\n")
    (folder / "tables.sql").write_text("CREATE TABLE made (id int);")
    return containers.start(
        "postgres",
        "postgres",
        "-c",
        "wal_level=logical",
        environment={
            "POSTGRES_USER": "app",
            "POSTGRES_DB": "car_entities",
            "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
            "POSTGRES_INITDB_ARGS": "--data-checksums",
        },
        publish=(5432,),
        volumes=[
            f"{folder / 'password'}:/run/secrets/password:ro",
            f"{folder / 'tables.sql'}:/docker-entrypoint-initdb.d/tables.sql:ro",
        ],
    )


def _connect(server: Any, password: str = _PASSWORD) -> psycopg.Connection[Any]:
    host, port = server.address(5432).split(":")
    account = {"user": "app", "dbname": "car_entities", "password": password, "connect_timeout": 5}
    return psycopg.connect(host=host, port=int(port), **account)  # type: ignore[arg-type]


@pytest.fixture
def database(server: Any) -> psycopg.Connection[Any]:
    """A connection from outside, once the server takes them."""

    def connected() -> psycopg.Connection[Any] | None:
        try:
            return _connect(server)
        except psycopg.OperationalError:
            return None

    connection: psycopg.Connection[Any] = eventually(connected, "PostgreSQL takes connections", 60)
    return connection


def _shown(database: psycopg.Connection[Any], statement: str) -> Any:
    with database:
        row = database.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


def test_the_password_of_the_file_opens_and_no_other(server: Any, database: psycopg.Connection[Any]) -> None:
    """A connection from outside needs the password, whatever the network."""
    database.close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _connect(server, "close sesame")


def test_sql_files_run_in_the_database(database: psycopg.Connection[Any]) -> None:
    """What the folder of first statements holds is there when the server answers."""
    assert _shown(database, "SELECT count(*) FROM made") == 0


def test_arguments_reach_the_server(database: psycopg.Connection[Any]) -> None:
    """`-c` after the program's name is a setting."""
    assert _shown(database, "SHOW wal_level") == "logical"


def test_initdb_takes_its_arguments(database: psycopg.Connection[Any]) -> None:
    """POSTGRES_INITDB_ARGS shapes the cluster."""
    assert _shown(database, "SHOW data_checksums") == "on"


def test_the_server_is_postgres_999_and_ready_by_pg_isready(server: Any) -> None:
    """The first process is not root, and the health check's command is on the path."""
    eventually(lambda: server.succeeds("pg_isready", "-U", "app", "-d", "car_entities"), "pg_isready", 60)
    assert server.user() == 999


def test_a_second_start_keeps_the_data(server: Any, database: psycopg.Connection[Any]) -> None:
    """The stop signal is a fast shutdown even with a client there, and nothing is initialised twice."""
    server.container.stop(timeout=30)
    assert server.exit_status() == 0
    database.close()
    server.container.start()
    eventually(lambda: server.succeeds("pg_isready", "-U", "app", "-d", "car_entities"), "pg_isready", 60)
    with _connect(server) as again:
        assert again.execute("SELECT count(*) FROM made").fetchone() == (0,)


def test_no_password_is_refused(containers: Any) -> None:
    """A server without any password does not start unless that is asked for by name."""
    refused = containers.start("postgres")
    assert refused.exit_status() == 1
    assert "POSTGRES_PASSWORD" in refused.log()


def test_trust_is_only_by_name(containers: Any) -> None:
    """POSTGRES_HOST_AUTH_METHOD=trust starts a server that asks nobody."""
    open_one = containers.start("postgres", name="open", environment={"POSTGRES_HOST_AUTH_METHOD": "trust"})
    command = ("psql", "-h", "open", "-U", "postgres", "-c", "SELECT 1")
    eventually(lambda: open_one.succeeds(*command), "a connection without a password", 60)
