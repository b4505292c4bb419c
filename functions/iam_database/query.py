"""The recurring Lambda: `functions.iam_database.query.handler`.

Owns one row a day, written by a role that has no password: each connection has a token of its own, over TLS (LC-100,
LC-101, LC-106). It reads no secret, and no connection outlives a call (LC-111).
"""

import os
from contextlib import closing
from functools import cache
from typing import Any, Final, Protocol

import structlog

from database import (
    AddressError,
    Connection,
    Deadline,
    IamToken,
    Limits,
    RetryPolicy,
    TlsSettings,
    classify,
    connect,
    public_text,
)
from functions import logs
from functions.iam_database.settings import QuerySettings

_log = structlog.get_logger()

_PATIENCE: Final = RetryPolicy(attempts=4, first_wait=0.5, longest_wait=5.0)
# What is needed to answer before the function is stopped.
_ANSWER_SECONDS: Final = 5.0
# The schedule is in UTC, so the day is too, whatever the time zone of the database.
_INSERT: Final = "INSERT INTO public.queries (query_date) VALUES ((now() AT TIME ZONE 'UTC')::date)"


class Context(Protocol):
    """What of the Lambda context is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


@cache
def settings() -> tuple[QuerySettings, TlsSettings]:
    """Return the settings of this process, read once.

    Raises:
        ValueError: TLS is turned off; RDS takes no token without it.
    """
    made, tls = QuerySettings(), TlsSettings()
    if tls.db_ssl_mode == "disable":
        raise ValueError("DB_SSL_MODE is disable: a token is sent over TLS alone, so leave it unset")
    logs.configure(made.log_level)
    return made, tls


def handler(event: Any, context: Context) -> bool:  # noqa: ARG001 - the schedule says nothing of use
    """Insert today's date in UTC; return whether it was inserted. A failure is logged and never raised (LC-106)."""
    given, tls = settings()
    address = IamToken(
        given.db_host, given.db_port, given.db_iam_user, given.db_name, given.aws_region, tls.parameters()
    )
    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS)
    try:
        # Only connecting is tried again: whether an insert whose answer was lost was committed, nobody knows.
        with closing(_PATIENCE.run(lambda: _connect(address, deadline), deadline)) as connection:
            connection.execute(_INSERT)
    except AddressError as error:
        _log.error("query_failed", failure="token", error=str(error))
        return False
    except Exception as error:  # noqa: BLE001 - the answer is false whatever it was
        _log.error("query_failed", failure=classify(error).label, error=public_text(error))
        return False
    _log.info("query_done")
    return True


def _connect(address: IamToken, deadline: Deadline) -> Connection:
    return connect(address, Limits(), deadline)


# In Lambda a missing variable must stop the start, not fail the first call.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    settings()
