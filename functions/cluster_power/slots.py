"""Which replication slots are in use: somebody reads changes from this database now (LC-68).

Owns the one question to the database. A stop would cut that reader off, and would leave its slot behind the WAL.
"""

import os
from typing import Final

import psycopg

from database import AddressError, DatabaseSettings, Deadline, Direct, connect, public_text

# The question must leave time for the rest, or the function would pass its 5 s (LC-173).
_DATABASE_SECONDS: Final = 3.0


class SlotsError(Exception):
    """The database cannot be asked; the text has no secret."""


def database_settings() -> DatabaseSettings | None:
    """Return how to ask the database for its slots, with short times; None when no variable says where it is.

    Raises:
        pydantic.ValidationError: The variables are there and cannot be used.
    """
    if not (os.environ.get("DATABASE_URL") or os.environ.get("AURORA_ENDPOINT")):
        return None
    read = DatabaseSettings()
    return read.model_copy(
        update={
            "db_connect_timeout": min(read.db_connect_timeout, _DATABASE_SECONDS),
            "db_statement_timeout": min(read.db_statement_timeout, _DATABASE_SECONDS),
        }
    )


def active_slots(settings: DatabaseSettings) -> tuple[str, ...]:
    """Return the names of the slots that a client uses now, over a connection of its own.

    Raises:
        SlotsError: The database cannot be reached, or does not answer in time.
    """
    address = Direct.of(settings)
    try:
        with connect(address, settings.limits, Deadline.after(settings.db_connect_timeout)) as connection:
            rows = connection.execute("SELECT slot_name FROM pg_replication_slots WHERE active ORDER BY 1").fetchall()
    except (psycopg.Error, AddressError) as error:
        raise SlotsError(public_text(error, address.secrets())) from error
    return tuple(str(name) for (name,) in rows)
