"""Failures are told apart by type and SQLSTATE before text, and say nothing secret (LC-21, EV-25)."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors

from database import Failure, classify, mask, public_text

BY_STATE = {
    "08006": Failure.CONNECTION,
    "08P01": Failure.CONNECTION,
    "57P01": Failure.CONNECTION,
    "57P02": Failure.CONNECTION,
    "57P03": Failure.CONNECTION,
    "53300": Failure.CONNECTION,
    "57014": Failure.TIMEOUT,
    "40001": Failure.CONFLICT,
    "40P01": Failure.CONFLICT,
    "55P03": Failure.CONFLICT,
    "22P05": Failure.DATA,
    "22003": Failure.DATA,
    "54000": Failure.DATA,
    "28P01": Failure.DENIED,
    "42501": Failure.DENIED,
    "3D000": Failure.DENIED,
    "23505": Failure.UNKNOWN,
    "42P01": Failure.UNKNOWN,
    "53100": Failure.UNKNOWN,
}


@pytest.mark.parametrize(("state", "kind"), BY_STATE.items())
def test_a_sqlstate_decides_whatever_the_text_says(state: str, kind: Failure) -> None:
    """The text of another kind changes nothing (LC-21)."""
    for text in ("connection refused", "password authentication failed", "deadlock detected"):
        assert classify(errors.lookup(state)(text)) is kind


# What libpq and psycopg say when there is no SQLSTATE: seen with PostgreSQL 15 to 18.
BY_TEXT = {
    'connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused': Failure.CONNECTION,
    "failed to resolve host 'db.invalid': [Errno -2] Name or service not known": Failure.CONNECTION,
    "server closed the connection unexpectedly": Failure.CONNECTION,
    "consuming input failed: could not receive data from server: Connection reset by peer": Failure.CONNECTION,
    'connection to server at "h", port 5 failed: FATAL:  the database system is starting up': Failure.CONNECTION,
    'connection failed: FATAL:  password authentication failed for user "app"': Failure.DENIED,
    'connection failed: FATAL:  role "app" does not exist': Failure.DENIED,
    'connection failed: FATAL:  database "d" does not exist': Failure.DENIED,
    'connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.1"': Failure.DENIED,
    "connection failed: fe_sendauth: no password supplied": Failure.DENIED,
    "SSL error: certificate verify failed": Failure.DENIED,
    "server does not support SSL, but SSL was required": Failure.DENIED,
}


@pytest.mark.parametrize(("text", "kind"), BY_TEXT.items())
def test_only_an_operational_error_without_sqlstate_is_read(text: str, kind: Failure) -> None:
    """Connect failures carry nothing but text; other types are not judged by theirs (LC-21)."""
    assert classify(psycopg.OperationalError(text)) is kind
    assert classify(psycopg.ProgrammingError(text)) is Failure.UNKNOWN
    assert classify(RuntimeError(text)) is Failure.UNKNOWN


def test_types_decide_where_there_is_no_sqlstate() -> None:
    """A connect timeout, a closed connection and a broken socket are connection failures (LC-20, LC-21)."""
    for error in (
        errors.ConnectionTimeout("x"),
        psycopg.InterfaceError("the connection is closed"),
        ConnectionResetError(),
    ):
        assert classify(error) is Failure.CONNECTION


def test_only_passing_failures_are_retryable() -> None:
    """Connection, timeout and conflict may be tried again; data, rights and the unknown not (EV-58)."""
    assert {kind for kind in Failure if kind.retryable} == {Failure.CONNECTION, Failure.TIMEOUT, Failure.CONFLICT}


LEAKS = [
    "could not connect to postgresql://app:S3cret!@host/db",
    "missing = after app:S3cret!@host in connection string",
    "password=S3cret! host=h",
    "password='S3cret!' host=h",
    "token: S3cret!",
    "invalid S3cret%21",
]


@pytest.mark.parametrize("text", LEAKS)
def test_a_password_is_masked_in_every_form(text: str) -> None:
    """Plain, percent-encoded, in a URL, in key and value (EV-25)."""
    shown = public_text(psycopg.OperationalError(text), ["S3cret!"])
    assert "S3cret" not in shown
    assert "***" in shown


@given(
    password=st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=8), around=st.text(max_size=20)
)
def test_no_password_survives_masking(password: str, around: str) -> None:
    """Whatever surrounds it (EV-25)."""
    assert password not in mask(f"{around} {password} {around}", [password])


def test_one_line_without_user_names_is_shown() -> None:
    """The first line alone, without the role that was tried (EV-25)."""
    error = psycopg.OperationalError('FATAL:  password authentication failed for user "app"\n\tIs the server running?')
    assert public_text(error) == 'FATAL:  password authentication failed for user "***"'
    assert public_text(psycopg.OperationalError()) == "OperationalError"
