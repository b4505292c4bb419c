"""Create the pipeline's tables and publication: `python -m database`. It may be repeated at any moment.

Exit codes: 0 they are there, 1 the database cannot be reached or refuses, 2 the settings are wrong.
"""

import sys

import psycopg
from pydantic import ValidationError

from database.address import Direct
from database.failures import public_text
from database.settings import DatabaseSettings
from database.tables import create_tables


def main() -> int:
    """Create them; return the exit code."""
    try:
        settings = DatabaseSettings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            sys.stderr.write(f"{fault['msg'].removeprefix('Value error, ')}\n")
        return 2
    try:
        create_tables(settings)
    except psycopg.Error as error:
        reason = public_text(error, Direct.of(settings).secrets())
        sys.stderr.write(f"the tables cannot be created: {reason}\nCheck DATABASE_URL and the account's rights.\n")
        return 1
    sys.stdout.write("the tables and the publication are there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
