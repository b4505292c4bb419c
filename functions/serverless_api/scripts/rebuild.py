"""Drop the API's tables, create them and put seed rows in: `python -m functions.serverless_api.scripts.rebuild --yes`.

Owns the destruction of data, so it asks for consent in words, and for more where the database is not of this machine.
Exit codes: 0 done, 1 the database cannot be reached or refuses, 2 no consent or wrong settings.
"""

import argparse
import sys
from typing import Final

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from database import AddressError
from functions.serverless_api.engine import Database
from functions.serverless_api.init_db import InitialisationError, initialise
from functions.serverless_api.models import Base, Vehicle
from functions.serverless_api.scripts import wrong_settings
from functions.serverless_api.settings import ApiSettings

_SEED: Final = (
    {"vin": "WDB11111111111111", "make": "Mercedes-Benz", "model": "E 200", "year": 2021},
    {"vin": "WVWZZZ1JZXW000001", "make": "Volkswagen", "model": "Golf", "year": 1999},
    {"vin": "1FTFW1E50NFA00001", "make": "Ford", "model": "F-150", "year": 2022},
)


def main(arguments: list[str] | None = None) -> int:
    """Rebuild; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="rebuild", description="Drop the API's tables and create them with seed rows."
    )
    parser.add_argument("--yes", action="store_true", help="the rows that are there may be lost")
    parser.add_argument("--cloud", action="store_true", help="also when USE_LOCAL_DB is not true")
    given = parser.parse_args(arguments)
    try:
        settings = ApiSettings()
    except ValidationError as error:
        return wrong_settings(error)
    if not given.yes or not (given.cloud or settings.use_local_db):
        sys.stderr.write(
            "this drops the vehicles of the database: give --yes, and --cloud if USE_LOCAL_DB is not true\n"
        )
        return 2
    database = Database(settings)
    try:
        with database.engine.begin() as connection:
            Base.metadata.drop_all(connection)
        initialise(database)
        with database.session() as session:
            session.add_all(Vehicle(**row) for row in _SEED)
    except InitialisationError as error:
        sys.stderr.write(f"the database cannot be rebuilt: {error}\n")
        return 1
    except (SQLAlchemyError, AddressError) as error:
        sys.stderr.write(f"the database cannot be rebuilt: {database.public_text(error)}\n")
        return 1
    finally:
        database.close()
    sys.stdout.write(f"rebuilt, with {len(_SEED)} vehicles\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
