"""A statement that libpq runs in one call does what one of psycopg's cursors does (EV-58, IN-53, LC-7, LC-8)."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from database import Deadline, Failure, Link, Links, Statement, classify

MakeLinks = Callable[..., Links]
SOON = 20.0
ADD = Statement("add_note", "INSERT INTO notes (name, id, same) VALUES (%(text)s, %(id)s, %(id)s)")
SLEEP = Statement("sleep", "DO $$ BEGIN PERFORM pg_sleep(60); END $$")


@pytest.fixture
def link(make_links: MakeLinks) -> Link:
    """A link to a database with a table of notes."""
    return _with_notes(make_links())


def _with_notes(links: Links) -> Link:
    link = links.mine()
    _rows(link, "CREATE TABLE IF NOT EXISTS notes (id int PRIMARY KEY, name text, same int)")
    return link


def _rows(link: Link, query: str) -> list[tuple[Any, ...]]:
    cursor = link.connection(Deadline.after(SOON)).execute(query.encode(), prepare=False)
    return cursor.fetchall() if cursor.description else []


def _add(link: Link, number: int, text: str | None = None) -> None:
    link.runner(Deadline.after(SOON)).run(ADD, {"id": str(number), "text": text})


@pytest.mark.parametrize("on", [True, False])
def test_a_statement_is_prepared_once_or_never(on: bool, make_links: MakeLinks) -> None:
    """However often it runs; off means that no named statement pins a proxied session (IN-53)."""
    link = _with_notes(make_links(db_prepare_statements=on))
    for number in range(8):
        _add(link, number)
    named = _rows(link, "SELECT name FROM pg_prepared_statements WHERE NOT from_sql")
    assert named == ([("add_note",)] if on else [])
    assert len(_rows(link, "SELECT id FROM notes")) == 8


def test_values_arrive_as_they_are_given(link: Link) -> None:
    """NULL, an empty text and any character, each at its own placeholder (EV-91)."""
    texts = (None, "", "' $1 %(id)s \\ ü 漢 🚗")
    for number, text in enumerate(texts):
        _add(link, number, text)
    assert _rows(link, "SELECT id, name, same FROM notes ORDER BY id") == [(n, t, n) for n, t in enumerate(texts)]


def test_a_text_that_libpq_would_cut_short_is_refused(link: Link) -> None:
    """U+0000 ends a text in C: nothing may be stored without its end (EV-20)."""
    with pytest.raises(psycopg.DataError):
        _add(link, 1, "a\0b")
    assert _rows(link, "SELECT id FROM notes") == []


def test_the_servers_refusal_is_psycopgs_own_error(link: Link) -> None:
    """With its SQLSTATE and its table, by which a duplicate is known; the connection stays of use (EV-52, EV-53)."""
    _add(link, 1)
    with pytest.raises(errors.UniqueViolation) as caught:
        _add(link, 1)
    assert caught.value.diag.table_name == "notes"
    _add(link, 2)


def test_a_statement_that_takes_too_long_is_stopped(make_links: MakeLinks) -> None:
    """By the server (LC-7)."""
    runner = make_links(db_statement_timeout=0.05).mine().runner(Deadline.after(SOON))
    with pytest.raises(errors.QueryCanceled) as caught:
        runner.run(SLEEP, {})
    assert classify(caught.value) is Failure.TIMEOUT


def test_a_connection_that_ends_under_a_statement_is_a_lost_connection(link: Link, database_url: str) -> None:
    """Told as such, and the next use prepares anew over another one (EV-58, LC-8)."""
    _add(link, 1)
    runner = link.runner(Deadline.after(SOON))
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", (runner.connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError) as caught:
        runner.run(ADD, {"id": "2", "text": None})
    assert classify(caught.value) is Failure.CONNECTION
    _add(link, 2)
    assert _rows(link, "SELECT id FROM notes ORDER BY id") == [(1,), (2,)]
