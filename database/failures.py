"""What went wrong in the database, and what may be said about it.

Owns the kinds of failure and which of them a retry can mend (LC-21: exception type and SQLSTATE first, text only
where libpq gives nothing else), and the text that may leave the process (EV-25: never a credential).
SQLSTATE: https://www.postgresql.org/docs/18/errcodes-appendix.html
"""

import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import quote

import psycopg
from psycopg import errors


class Failure(Enum):
    """The kinds of failure; the value says whether the whole transaction may be tried again."""

    CONNECTION = ("connection", True)
    """Refused, reset, closed, timed out, unreachable, name not resolved, server starting or stopping."""
    TIMEOUT = ("timeout", True)
    """The statement took too long; the server has rolled it back."""
    CONFLICT = ("conflict", True)
    """Serialization failure, deadlock or lock timeout; the server has rolled it back."""
    DATA = ("data", False)
    """The value cannot be stored by this database, whoever sends it."""
    DENIED = ("denied", False)
    """Wrong password, unknown role or database, missing right, TLS refused: an operator must act."""
    UNKNOWN = ("unknown", False)
    """Anything else."""

    def __init__(self, label: str, retryable: bool) -> None:
        self.label = label
        self.retryable = retryable


# Server going down, crashing, starting up, session ended for idling; too many connections.
_CONNECTION_STATES = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "53300"})
_CONFLICT_STATES = frozenset({"40001", "40P01", "55P03"})

# At connect time libpq hands out text without a SQLSTATE; these are answers of a server that is well and says no.
_DENIED_TEXT = re.compile(
    r"authentication failed|no password supplied|does not exist|pg_hba\.conf|permission denied"
    r"|certificate|does not support SSL|SSL is required|server does not support|not permitted to log in"
    r"|invalid connection option|invalid .*value",
    re.IGNORECASE,
)

_IN_URL = re.compile(r"(\w+://)[^\s@/]*@")
_IN_PAIRS = re.compile(r"(password|passwd|secret|token)(\s*[=:]\s*)('[^']*'|\S+)", re.IGNORECASE)
_NAMED_USER = re.compile(r'\b(user|role) "[^"]*"')


def classify(error: BaseException) -> Failure:  # noqa: PLR0911 - one return for each row of the table it is
    """Return the kind of a failure, by type and SQLSTATE first."""
    if isinstance(error, (errors.ConnectionTimeout, psycopg.InterfaceError, ConnectionError)):
        return Failure.CONNECTION
    if not isinstance(error, psycopg.Error):
        return Failure.UNKNOWN
    state = error.sqlstate
    if state is None:
        if not isinstance(error, psycopg.OperationalError):
            return Failure.UNKNOWN
        return Failure.DENIED if _DENIED_TEXT.search(str(error)) else Failure.CONNECTION
    if state.startswith("08") or state in _CONNECTION_STATES:
        return Failure.CONNECTION
    if state == "57014":
        return Failure.TIMEOUT
    if state in _CONFLICT_STATES:
        return Failure.CONFLICT
    if state.startswith(("22", "54")):
        return Failure.DATA
    if state.startswith(("28", "3D", "42501")):
        return Failure.DENIED
    return Failure.UNKNOWN


def public_text(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """Return one line about a failure that may be answered and logged.

    The server's primary message alone, since its detail repeats rows; then every secret, URL user part, password pair
    and quoted role name is masked.
    """
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = (primary or str(error)).strip() or type(error).__name__
    return mask(text.splitlines()[0], secrets)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with credentials replaced by `***`."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    text = _IN_URL.sub(r"\1***@", text)
    text = _IN_PAIRS.sub(r"\1\2***", text)
    return _NAMED_USER.sub(r'\1 "***"', text)
