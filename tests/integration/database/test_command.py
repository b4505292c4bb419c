"""`python -m database` makes the tables of the database that `DATABASE_URL` names."""

import psycopg
import pytest

from database.__main__ import main


def _tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows}


def test_the_tables_are_made_once_and_kept(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated, it changes nothing and takes nothing away."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main() == 0
    assert _tables(database_url) == {"business_events", "event_headers", "entities"}
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO business_events VALUES ('kept', 'n', NULL, NULL, NULL, '{}')")
    assert main() == 0
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT id FROM business_events").fetchall() == [("kept",)]


def test_a_refusal_is_told_with_its_remedy_and_without_the_password(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 where the database is wrong, 2 where the settings are."""
    missing = database_url.replace("postgres@", "postgres:s3cret@") + "_missing"
    monkeypatch.setenv("DATABASE_URL", missing)
    assert main() == 1
    monkeypatch.delenv("DATABASE_URL")
    assert main() == 2
    told = capsys.readouterr().err
    assert "does not exist" in told
    assert "Check DATABASE_URL" in told
    assert "set DATABASE_URL, or else" in told
    assert "s3cret" not in told
