"""The database is named by the environment, completely or not at all (LC-3, LC-5)."""

import traceback

import pytest
from pydantic import ValidationError

from database import DatabaseSettings, Direct

PARTS = {
    "AURORA_ENDPOINT": "db.example",
    "DATABASE_NAME": "car_entities",
    "DATABASE_USER": "app",
    "DATABASE_PASSWORD": "p@ss/word:with%everything",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PARTS, "DATABASE_URL", "DATABASE_PORT"):
        monkeypatch.delenv(name, raising=False)


def _set(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_the_url_wins_over_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both set: the URL names the database (LC-3)."""
    _set(monkeypatch, **PARTS, DATABASE_URL="postgresql://u:x%40y@other:5999/d?sslmode=require")
    parameters = Direct.of(DatabaseSettings()).parameters()
    expected = {"host": "other", "port": "5999", "dbname": "d", "user": "u", "password": "x@y", "sslmode": "require"}
    assert expected.items() <= parameters.items()


def test_parts_reach_the_driver_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long password with every special character is neither cut nor misread (LC-3, LC-5)."""
    _set(monkeypatch, **PARTS)
    monkeypatch.setenv("DATABASE_PASSWORD", PARTS["DATABASE_PASSWORD"] * 4)
    parameters = Direct.of(DatabaseSettings()).parameters()
    assert (parameters["host"], parameters["port"], parameters["dbname"]) == ("db.example", 5432, "car_entities")
    assert parameters["password"] == PARTS["DATABASE_PASSWORD"] * 4


def test_missing_parts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No default stands in for a missing variable (LC-5)."""
    with pytest.raises(ValidationError, match="AURORA_ENDPOINT, DATABASE_NAME, DATABASE_USER, DATABASE_PASSWORD"):
        DatabaseSettings()
    _set(monkeypatch, **PARTS)
    monkeypatch.delenv("DATABASE_USER")
    with pytest.raises(ValidationError, match="set DATABASE_URL, or else also DATABASE_USER"):
        DatabaseSettings()


@pytest.mark.parametrize("url", ["postgresql//u:hunter2@h/d", "postgresql://u:hunter2@h/d?colour=red", "hunter2 @"])
def test_an_unreadable_url_is_refused_without_being_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to write it and shows neither URL nor password (LC-5, EV-25)."""
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(ValidationError, match="DATABASE_URL cannot be read") as caught:
        DatabaseSettings()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_nothing_that_is_printed_shows_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and address hide it in their own text."""
    _set(monkeypatch, **PARTS)
    settings = DatabaseSettings()
    assert PARTS["DATABASE_PASSWORD"] not in f"{settings!r} {settings} {Direct.of(settings)!r}"
    assert Direct.of(settings).secrets() == (PARTS["DATABASE_PASSWORD"],)


def test_the_statement_timeout_goes_to_the_server_and_the_url_may_override_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 s unless set; options of the URL come after it, and the last one counts (LC-7)."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h/d?options=-c%20statement_timeout%3D5")
    options = Direct.of(DatabaseSettings()).parameters()["options"]
    assert options == "-c statement_timeout=30000 -c statement_timeout=5"
