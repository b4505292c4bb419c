"""Owns `headwater cdc deploy` and `headwater cdc switch`: their options and what they print."""

import json
import os
from typing import Annotated

import typer
from pydantic import ValidationError

from cdc.debezium.handover import Handover, start
from cdc.debezium.settings import ConnectSettings
from cdc.errors import CdcError
from cdc.lsn import format_lsn
from cdc.settings import Settings
from stack import engines
from stack.errors import StackError
from stack.local import current_stack
from stack.settings import CdcEngine
from stack.terminal import AsJson, page


def deploy() -> None:
    """Register Debezium's connector with Kafka Connect, or update it; exit 1 with the task's trace unless it runs."""
    local = current_stack().settings
    try:
        # Without an address of a database of one's own, the local stack is meant.
        settings = Settings() if "DATABASE_URL" in os.environ else engines.engine_settings(local)
        where = ConnectSettings() if "CONNECT_URL" in os.environ else engines.connect_settings(local)
    except ValidationError as error:
        names = ", ".join("_".join(map(str, fault["loc"])).upper() for fault in error.errors(include_input=False))
        raise StackError(f"The settings are wrong: {names}.", "Correct the environment variables.") from None
    try:
        deployed = start(settings, where)
    except CdcError as error:
        raise engines.explained(error) from error
    page().print(f"{deployed.name}: {'created or updated' if deployed.changed else 'unchanged'}, RUNNING")


def switch(
    engine: Annotated[CdcEngine, typer.Argument(help="Which engine is to carry the changes from here on.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Change engines on the running stack: nothing is lost, and what is repeated is said."""
    stack = current_stack()
    before = stack.settings.cdc
    done = engines.switch(stack, engine)
    if as_json:
        typer.echo(json.dumps({"from": before, "to": engine, **(done or Handover(None, 0)).as_dict()}))
        return
    if done is None:
        page().print(f"{engine} carries the changes already.")
        return
    where = "at the beginning" if done.confirmed is None else f"at {format_lsn(done.confirmed)}"
    repeats = "nothing comes twice" if done.repeated == 0 else f"at most {done.repeated} changes come twice"
    page().print(f"{before} → {engine}: goes on {where}, {repeats}.")
