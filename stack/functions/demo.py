"""Owns the demonstration of the functions: a walk through each system of a running stack."""

from collections.abc import Callable
from functools import partial
from typing import Final

from rich.console import Console

from stack.errors import StackError
from stack.functions import walk_api, walk_callbacks, walk_iam, walk_power, walk_todos
from stack.functions.credentials import Credentials
from stack.functions.reach import Reach
from stack.functions.walk import Walk, go
from stack.local import LocalStack

_SYSTEMS: Final[dict[str, Callable[[Reach, Walk], None]]] = {
    "callbacks": walk_callbacks.walk,
    "iam-database": walk_iam.walk,
    "todos": walk_todos.walk,
    "serverless-api": walk_api.walk,
    # Last: the database that all of them use goes away and comes back.
    "auto-start-stop": walk_power.walk,
}


def run_demo(stack: LocalStack, console: Console) -> list[Walk]:
    """Walk through every system; each is tried, whatever became of the others."""
    reach = Reach(stack.settings, Credentials.of(stack.state.root))
    return [go(name, console, partial(walk, reach)) for name, walk in _SYSTEMS.items()]


def refuse_without_functions(stack: LocalStack) -> None:
    """Refuse a running stack that has no functions.

    Raises:
        StackError: It has none; the remedy starts it with them.
    """
    if not stack.settings.functions:
        raise StackError(
            "The stack runs without its functions.", "Run `headwater down`, then `headwater up --with functions`."
        )
