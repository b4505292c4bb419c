"""The Lambda that calls PostgreSQL: `callbacks.lambda_to_postgres.handler`.

Owns `demo_table` and the answers (LC-80 to LC-82). How the database is reached, `database` says.
"""

import os
from functools import cache
from typing import Any, Final, Protocol

import psycopg
import structlog

from callbacks import logs
from callbacks.settings import SecretSettings
from database import AddressError, Connection, Deadline, Link, RetryPolicy

_log = structlog.get_logger()

DEFAULT_MESSAGE: Final = "Hello from Lambda!"

# What an answer needs after the last attempt.
_ANSWER_SECONDS: Final = 2.0

# CREATE TABLE IF NOT EXISTS races with itself; two first calls at once take turns, all later ones only look.
_TABLE_IS_THERE: Final = "SELECT to_regclass('public.demo_table') IS NOT NULL"
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('headwater.demo_table', 0))"
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS public.demo_table (
    id serial PRIMARY KEY,
    message text NOT NULL,
    created_at timestamp DEFAULT now()
)"""
_INSERT: Final = "INSERT INTO public.demo_table (message) VALUES (%s)"
_NEWEST: Final = "SELECT id, message, created_at FROM public.demo_table ORDER BY created_at DESC, id DESC LIMIT 10"


class Context(Protocol):
    """What of the Lambda context is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


@cache
def link() -> Link:
    """Return the link of this process, made at the first call and kept between warm invocations."""
    settings = SecretSettings()
    logs.configure(settings.log_level)
    return settings.link()


def handler(event: Any, context: Context) -> dict[str, Any]:
    """Store `{"message": …}` and answer the newest 10 records; a failure of the database is answered with 500."""
    message = event.get("message") if isinstance(event, dict) else None
    if message is None:
        message = DEFAULT_MESSAGE
    if not isinstance(message, str) or "\0" in message:
        return _failed(400, "message must be text without the character U+0000")
    mine = link()
    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS)
    try:
        # Only the way to the database is tried again: an insert whose answer was lost may have been stored.
        connection = RetryPolicy().run(lambda: mine.connection(deadline), deadline)
        records = _store(connection, message)
    except (psycopg.Error, AddressError) as error:
        mine.discard()
        reason = mine.public_text(error)
        _log.error("query_failed", error=reason)
        return _failed(500, reason)
    return {"statusCode": 200, "body": {"message": "Query executed successfully", "records": records}}


def _store(connection: Connection, message: str) -> list[dict[str, Any]]:
    with connection.transaction():
        if connection.execute(_TABLE_IS_THERE).fetchone() != (True,):
            connection.execute(_LOCK)
            connection.execute(_CREATE)
        connection.execute(_INSERT, (message,))
        rows = connection.execute(_NEWEST).fetchall()
    return [{"id": number, "message": text, "created_at": at.isoformat()} for number, text, at in rows]


def _failed(status: int, error: str) -> dict[str, Any]:
    return {"statusCode": status, "body": {"message": "Error executing query", "error": error}}


# In Lambda a missing variable must stop the start, not answer the first request (LC-5).
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    link()
