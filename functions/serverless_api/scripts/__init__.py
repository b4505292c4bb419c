"""What an operator runs from a checkout; never part of the deployment package (LC-159, LC-164)."""

import sys

from pydantic import ValidationError


def wrong_settings(error: ValidationError) -> int:
    """Say what is wrong with the variables, without their values; return the exit code for it."""
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        name = ".".join(map(str, fault["loc"])).upper()
        sys.stderr.write(f"{name + ': ' if name else ''}{fault['msg'].removeprefix('Value error, ')}\n")
    return 2
