"""Which replication slots are in use: somebody reads changes from this database now (LC-68).

Owns the one question to the database. A stop would cut that reader off, and would leave its slot behind the WAL.
"""

import psycopg

from database import AddressError, DatabaseSettings, Deadline, Direct, connect, public_text


class SlotsError(Exception):
    """The database cannot be asked; the text has no secret."""


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
