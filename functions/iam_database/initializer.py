"""The Lambda of the custom resource: `functions.iam_database.initializer.handler`.

Owns the one use of the master user's secret: it makes the role that logs in by IAM, and the table, and gives the role
what its query needs and nothing more (LC-102, LC-109). It returns or raises, as the provider framework of the CDK asks;
what it raises fails the deployment (LC-104).
"""

import os
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from typing import Any, Final, Protocol

import structlog
from psycopg import sql

from database import (
    Address,
    AddressError,
    Connection,
    Deadline,
    Limits,
    RetryPolicy,
    Secret,
    TlsSettings,
    connect,
    public_text,
    secrets_manager,
)
from functions import logs
from functions.iam_database.settings import InitializerSettings

_log = structlog.get_logger()

PHYSICAL_ID: Final = "CreateTable"

# A database that was made a moment ago may not answer yet.
_PATIENCE: Final = RetryPolicy(attempts=8, first_wait=0.5, longest_wait=15.0)
# What is needed to say what went wrong before the function is stopped.
_ANSWER_SECONDS: Final = 10.0

_COLUMNS: Final = [("id", "integer"), ("query_date", "date")]

_OTHERS_WAIT: Final = "SELECT pg_advisory_xact_lock(hashtextextended('headwater.iam_database', 0))"
_ROLE: Final = """
SELECT rolname = current_user OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, rolcanlogin
  FROM pg_roles WHERE rolname = %s
"""
_IAM_ROLE: Final = "SELECT FROM pg_roles WHERE rolname = 'rds_iam'"
_TABLE: Final = "CREATE TABLE IF NOT EXISTS public.queries (id serial PRIMARY KEY, query_date date)"
_SHAPE: Final = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'public.queries'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_GRANTS: Final = (
    "GRANT rds_iam TO {user}",
    "GRANT CONNECT ON DATABASE {database} TO {user}",
    "GRANT USAGE ON SCHEMA public TO {user}",
    "GRANT INSERT ON public.queries TO {user}",
    "GRANT USAGE ON SEQUENCE public.queries_id_seq TO {user}",
)


class InitializationError(Exception):
    """The database is not initialised; the text says why and repeats no secret."""


class Context(Protocol):
    """What of the Lambda context is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


@cache
def settings() -> InitializerSettings:
    """Return the settings of this process, read once."""
    made = InitializerSettings()
    logs.configure(made.log_level)
    return made


def handler(event: Mapping[str, Any], context: Context) -> dict[str, str]:
    """Initialise the database on Create; on Update and Delete keep the resource's id and do nothing (LC-105).

    Raises:
        InitializationError: The database cannot be initialised.
        ValueError: The request is none of the three.
    """
    match event.get("RequestType"):
        case "Create":
            initialize(settings(), context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS)
            return {"PhysicalResourceId": PHYSICAL_ID}
        case "Update" | "Delete":
            return {"PhysicalResourceId": str(event["PhysicalResourceId"])}
        case other:
            raise ValueError(f"RequestType is {other!r}: a custom resource has Create, Update or Delete")


def initialize(given: InitializerSettings, seconds: float) -> None:
    """Make role, table and grants, whatever of them is there already (LC-103).

    Args:
        given: Where, and by which secret.
        seconds: How long to go on trying a server that does not answer.

    Raises:
        InitializationError: It cannot be done; nothing of it is left behind.
    """
    place: dict[str, str | int] = {"host": given.db_host, "port": given.db_port, "dbname": given.db_name}
    address = Secret(secrets_manager(), given.rds_secret_name, {**place, **TlsSettings().parameters()})
    try:
        _PATIENCE.run(lambda: _attempt(given, address, seconds), Deadline.after(seconds))
    except (InitializationError, AddressError) as error:
        raise InitializationError(str(error)) from None
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may repeat a secret, and its cause too
        raise InitializationError(
            f"the database {given.db_name} at {given.db_host}:{given.db_port} is not initialised:"
            f" {public_text(error, address.secrets())}"
        ) from None
    _log.info("database_initialized", database=given.db_name, iam_user=given.db_iam_user)


def _attempt(given: InitializerSettings, address: Address, seconds: float) -> None:
    with closing(connect(address, Limits(), Deadline.after(seconds))) as connection, connection.transaction():
        connection.execute(_OTHERS_WAIT)
        _make_role(connection, given.db_iam_user)
        connection.execute(_TABLE)
        if connection.execute(_SHAPE).fetchall() != _COLUMNS:
            raise InitializationError(
                f"{given.db_name} has another table public.queries: rename it, or set DB_NAME to another database"
            )
        names = {"user": sql.Identifier(given.db_iam_user), "database": sql.Identifier(given.db_name)}
        for grant in _GRANTS:
            connection.execute(sql.SQL(grant).format(**names))


def _make_role(connection: Connection, user: str) -> None:
    if connection.execute(_IAM_ROLE).fetchone() is None:
        raise InitializationError(
            "the server has no role rds_iam: turn on IAM database authentication of the cluster, and use RDS or Aurora"
        )
    row = connection.execute(_ROLE, (user,)).fetchone()
    if row is None:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(user)))
        return
    is_mighty, can_log_in = row
    if is_mighty:
        # A master user with rds_iam could no longer log in by its password.
        raise InitializationError(
            f"DB_IAM_USER is {user}, which is the master user or may do more than a query: name another role"
        )
    if not can_log_in:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(user)))


# In Lambda a missing variable must stop the start, not fail the first request.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    settings()
