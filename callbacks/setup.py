"""Put the extension and the SQL functions into a database.

Owns the one transaction that does it, and how a function's name and region come into SQL (LC-93, LC-96). What is
created, the files in `callbacks/sql` say.
"""

from importlib.resources import files
from typing import Final

from psycopg import sql

from database import Connection

FUNCTIONS: Final = (
    "process_data",
    "transform_data",
    "validate_data",
    "validate_event",
    "event_verdict",
    "check_event",
    "enable_event_validation",
    "disable_event_validation",
)
"""What is created in the schema `public`."""

# CREATE OR REPLACE races with itself; two deployments at once take turns here.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('headwater.callbacks', 0))"


def install(connection: Connection, function_name: str, region: str) -> None:
    """Create extension and functions, or bring them up to date; events are validated only once somebody enables it.

    Args:
        connection: In autocommit, of a role that may create extensions and functions in `public`.
        function_name: The Lambda function to call: a name, a partial or a full ARN.
        region: Where it is.

    Raises:
        psycopg.Error: The server refuses; then nothing has changed.
    """
    named = {"function_name": sql.Literal(function_name), "region": sql.Literal(region)}
    with connection.transaction():
        connection.execute(_LOCK)
        # Several statements in one go cannot be prepared.
        connection.execute(_text("functions.sql").format(**named), prepare=False)
        connection.execute(_text("validation.sql"), prepare=False)


def _text(name: str) -> sql.SQL:
    return sql.SQL(files("callbacks").joinpath("sql", name).read_text("utf-8"))
