"""Put the SQL functions into the database of the settings: `python -m callbacks`. It may be repeated at any moment.

Exit codes: 0 they are there, 1 the database cannot be reached or refuses, 2 the settings are wrong.
"""

import sys

import psycopg
from pydantic import ValidationError

from callbacks.settings import TargetSettings
from callbacks.setup import FUNCTIONS, install
from database import DatabaseSettings, Deadline, Direct, Link, RetryPolicy

_SECONDS = 60.0
_PATIENCE = RetryPolicy(attempts=20, first_wait=0.5, longest_wait=5.0)


def main() -> int:
    """Create them; return the exit code."""
    try:
        settings, target = DatabaseSettings(), TargetSettings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            place = "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"{place} {fault['msg'].removeprefix('Value error, ')}\n".lstrip())
        return 2
    link = Link(Direct.of(settings), settings.limits)
    deadline = Deadline.after(_SECONDS)
    try:
        _PATIENCE.run(
            lambda: install(link.connection(deadline), target.postgres_function_name, target.aws_region), deadline
        )
    except psycopg.Error as error:
        sys.stderr.write(
            f"the functions cannot be created: {link.public_text(error)}\n"
            "Check DATABASE_URL, the account's rights and that the server has the extension aws_lambda.\n"
        )
        return 1
    finally:
        link.discard()
    sys.stdout.write(f"{', '.join(FUNCTIONS)}: created, calling {target.postgres_function_name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
