"""Owns how a command of the stack comes by the Flink stage's settings, and how it says what is wrong with them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from flink_jobs.settings import FlinkSettings
from stack.errors import StackError


def flink_settings(given: Mapping[str, Any], remedy: str) -> FlinkSettings:
    """Return the settings: what is given by the names of the fields, and for the rest the environment.

    Args:
        given: Fields and their values.
        remedy: What a user can do about wrong ones.

    Raises:
        StackError: A field is missing or unreadable; the message names its variable and repeats no value.
    """
    try:
        return FlinkSettings(**given)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        named = "; ".join(f"{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in faults)
        raise StackError(f"The Flink stage is not configured: {named}.", remedy) from None
