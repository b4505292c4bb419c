"""The extensions `aws_commons` and `aws_lambda` for a PostgreSQL that is not AWS's.

Owns their files, and how a server gets them. Must never reach AWS: on Aurora the extensions are AWS's own.
"""

from pathlib import Path
from typing import Any, Final

import psycopg

FOLDER: Final = Path(__file__).parent
"""Control files and scripts; PostgreSQL 18 finds them when `extension_control_path` names the parent of this folder."""

_SCRIPTS: Final = (("aws_commons", "aws_commons--1.2.sql"), ("aws_lambda", "aws_lambda--1.0.sql"))


def files() -> tuple[Path, ...]:
    """Return the files that a server must be able to read."""
    return tuple(sorted((*FOLDER.glob("*.control"), *FOLDER.glob("*.sql"))))


def install(connection: psycopg.Connection[Any]) -> None:
    """Create the same schemas without an extension, where the server cannot be given files; what is there stays.

    Args:
        connection: As a superuser, or as a role that may create schemas.

    Raises:
        psycopg.Error: The server refuses; nothing is left half done.
    """
    with connection.transaction():
        for schema, script in _SCRIPTS:
            if connection.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone() == (None,):
                connection.execute(f"CREATE SCHEMA {schema}".encode())
                connection.execute((FOLDER / script).read_bytes())
