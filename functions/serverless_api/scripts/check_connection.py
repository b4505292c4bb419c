"""Connect once and tell how it went: `python -m functions.serverless_api.scripts.check_connection`.

Prints the method, the wake time and the server's version, and never a password (LC-160). Exit codes: 0 connected, 1
not, 2 the settings are wrong.
"""

import sys
import time

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from database import AddressError
from functions.serverless_api.engine import Database
from functions.serverless_api.scripts import wrong_settings
from functions.serverless_api.settings import ApiSettings


def main() -> int:
    """Connect, waiting for the database to wake; return the exit code."""
    try:
        settings = ApiSettings()
    except ValidationError as error:
        return wrong_settings(error)
    sys.stdout.write(f"method: {settings.method}\n")
    database = Database(settings)
    began = time.perf_counter()
    try:
        with database.engine.connect() as connection:
            seconds = time.perf_counter() - began
            version = connection.execute(text("SHOW server_version")).scalar_one()
    except (SQLAlchemyError, AddressError) as error:
        seconds = time.perf_counter() - began
        kind = database.failure(error).label
        sys.stderr.write(f"no connection after {seconds:.1f} s ({kind}): {database.public_text(error)}\n")
        return 1
    finally:
        database.close()
    sys.stdout.write(f"awake after: {seconds:.2f} s\nserver version: {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
