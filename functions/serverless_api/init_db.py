"""The Lambda that prepares the database: `functions.serverless_api.init_db.handler`. It may be repeated at any moment.

Owns the creation of tables, and the role's own statement timeout, which holds behind the proxy too, where a session has
no options (LC-153). It must never change or remove what is there.
"""

from typing import Any

import structlog
from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from database import AddressError
from functions import logs
from functions.serverless_api.engine import Database, database
from functions.serverless_api.handler import Context, deadline
from functions.serverless_api.models import Base

_log = structlog.get_logger()

# Two that create at once would meet in the catalogue; the number is any that nobody else uses.
_LOCK = 6_021_150


class InitialisationError(Exception):
    """The database cannot be prepared; the text says why, without a secret."""


def handler(_event: dict[str, Any], context: Context | None) -> dict[str, Any]:
    """Create the tables that are missing; return which were created and which there are.

    Raises:
        InitialisationError: The database cannot be reached or refuses.
    """
    made = database()
    logs.configure(made.settings.log_level)
    with made.until(deadline(context, made.settings.db_wake_seconds)):
        return initialise(made)


def initialise(made: Database) -> dict[str, Any]:
    """Create them on this database.

    Raises:
        InitialisationError: The database cannot be reached or refuses.
    """
    try:
        with made.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            before = set(inspect(connection).get_table_names())
            Base.metadata.create_all(connection)
            milliseconds = round(made.settings.db_statement_timeout * 1000)
            connection.execute(text(_ROLE_TIMEOUT.format(milliseconds=milliseconds)))
    except (SQLAlchemyError, AddressError) as error:
        # The cause repeats addresses and statements.
        raise InitialisationError(f"{made.failure(error).label}: {made.public_text(error)}") from None
    created = sorted(set(Base.metadata.tables) - before)
    _log.info("database_initialised", created=created)
    return {"created": created, "tables": sorted(Base.metadata.tables)}


# A role may set its own defaults; the database's name has to be quoted by the server.
_ROLE_TIMEOUT = """DO $do$ BEGIN
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET statement_timeout = {milliseconds}', current_database());
END $do$"""
