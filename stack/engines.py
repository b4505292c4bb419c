"""Owns which engine carries the changes of a stack: the choice and its record, its start, and the change on the fly.

What the two engines need of each other is `cdc.debezium.handover`'s to know; here are the processes around it.
"""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import SecretStr

from cdc.debezium.client import Connect
from cdc.debezium.connector import document
from cdc.debezium.deploy import NO_SNAPSHOT
from cdc.debezium.handover import Handover, start, to_debezium, to_native
from cdc.debezium.settings import ConnectSettings
from cdc.errors import CdcError, Kind
from cdc.settings import Settings
from cdc.watch.diagnosis import Diagnosis, failed, remedy_of
from cdc.watch.doctor import diagnose
from stack import connect, formats, maven
from stack.errors import StackError
from stack.local import ENGINES, LocalStack
from stack.settings import CdcEngine, StackSettings

_Result = TypeVar("_Result")

_STOP_SECONDS = 30
_PAUSE_SECONDS = 0.25
_TRIES = 240


def chosen(stack: LocalStack, wanted: CdcEngine | None, *, wiped: bool = False) -> LocalStack:
    """Return the stack with the engine it is to run: the one asked for, else the recorded one, else the setting's.

    Args:
        stack: A stack with the present settings.
        wanted: What the command line asks for; None for nothing.
        wiped: Whether the record is to be forgotten.

    Raises:
        StackError: The slot belongs to the other engine, or the topics hold another form of values.
    """
    recorded = None if wiped else stack.state.load()
    settings = formats.settled(stack.settings, recorded)
    asked = wanted or (settings.cdc if "cdc" in settings.model_fields_set else None)
    if recorded is not None and asked not in (None, recorded.cdc):
        raise StackError(
            f"The changes of this stack are carried by {recorded.cdc}, and the slot is where that engine left it.",
            f"Run `headwater up -d` and then `headwater cdc switch {asked}`, or start afresh with `up --wipe`.",
        )
    engine = recorded.cdc if recorded is not None else asked or settings.cdc
    if engine == "debezium":
        formats.refuse_debezium(settings)
    settings = settings.model_copy(update={"cdc": engine})
    return stack if settings == stack.settings else LocalStack(settings)


def refuse_other(stack: LocalStack, wanted: CdcEngine | None) -> None:
    """Refuse a running stack that another engine than the wanted one serves.

    Raises:
        StackError: It does; the remedy changes engines.
    """
    if wanted is not None and wanted != stack.settings.cdc:
        raise StackError(f"The stack runs with {stack.settings.cdc}.", f"Run `headwater cdc switch {wanted}`.")


def deploy(stack: LocalStack) -> None:
    """Register the connector with the running worker and wait until it runs.

    Raises:
        StackError: It does not, with the trace and the remedy.
    """
    _explained(lambda: start(engine_settings(stack.settings), connect_settings(stack.settings)))


def connector_runs(stack: LocalStack) -> bool:
    """Tell whether the connector and its task run; Connect keeps going when they have given up."""
    where = connect_settings(stack.settings).model_copy(update={"connect_tries": 1})
    try:
        with Connect(where) as worker:
            state = worker.state()
    except CdcError:
        return False
    return state is not None and state.runs


def diagnosed(stack: LocalStack, settings: Settings) -> tuple[Diagnosis, ...]:
    """Return what is wrong with replication by Debezium: what `cdc.doctor` finds, and whether the connector runs."""
    # The bookmark rests while Debezium has the slot, whose own guard is its offset: then the task fails.
    found = diagnose(settings.model_copy(update={"cdc_bookmark_group": ""}))
    where = connect_settings(stack.settings).model_copy(update={"connect_tries": 1})
    try:
        with Connect(where) as worker:
            state = worker.state()
        if state is not None and state.runs:
            return found
        told = "there is none" if state is None else f"connector {state.connector}, tasks {state.tasks}: {state.trace}"
        error = CdcError(Kind.CONNECTOR, f"the connector {where.connect_connector} does not run: {told}")
    except CdcError as caught:
        error = caught
    return (*found, failed(error))


def switch(stack: LocalStack, wanted: CdcEngine) -> Handover | None:
    """Let the other engine carry the changes from here on, while everything else goes on.

    Wherever it is cut off, the same command finishes it.

    Returns:
        Where the engine goes on, and what it repeats; None where it carried the changes before.

    Raises:
        StackError: The stack does not run, or the change is refused, with the remedy.
    """
    if not stack.supervisor.alive:
        raise StackError("The stack is not running.", "Run `headwater up -d` first.")
    if wanted == "debezium":
        formats.refuse_debezium(stack.settings)
    with stack.state.locked():
        if wanted == stack.settings.cdc == "native":
            stack.start(ENGINES["native"])
            _stop(stack, connect.SERVICE)
            return None
        if wanted == stack.settings.cdc and connector_runs(stack):
            return None
        return _to_debezium(stack) if wanted == "debezium" else _to_native(stack)


def _to_debezium(stack: LocalStack) -> Handover:
    target = LocalStack(stack.settings.model_copy(update={"cdc": "debezium"}))
    maven.fetch(target.missing_archives(), target.settings.cache_dir, maven.silent)
    # What Debezium cannot do is refused while our own engine still works, and Java starts meanwhile.
    _explained(lambda: document(engine_settings(stack.settings), snapshot=NO_SNAPSHOT, autocreate="disabled"))
    target.start(connect.SERVICE)
    _stop(stack, ENGINES["native"])
    target.state.save(target.settings)
    return _explained(
        lambda: to_debezium(engine_settings(target.settings), connect_settings(target.settings), stack.cancelled.wait)
    )


def _to_native(stack: LocalStack) -> Handover:
    target = LocalStack(stack.settings.model_copy(update={"cdc": "native"}))
    stack.start(connect.SERVICE)
    done = _explained(
        lambda: to_native(engine_settings(stack.settings), connect_settings(stack.settings), stack.cancelled.wait)
    )
    target.state.save(target.settings)
    target.start(ENGINES["native"])
    _stop(stack, connect.SERVICE)
    return done


def _stop(stack: LocalStack, name: str) -> None:
    if stack.processes()[name].state not in ("STOPPED", "EXITED", "FATAL"):
        stack.supervisor.stop(name)
    deadline = time.monotonic() + _STOP_SECONDS
    while stack.processes()[name].state not in ("STOPPED", "EXITED", "FATAL"):
        if time.monotonic() > deadline:
            raise StackError(f"{name} does not stop.", f"See `headwater logs {name}`, then run the command again.")
        stack.cancelled.wait(0.05)


def engine_settings(settings: StackSettings) -> Settings:
    """Return the engine's settings for this stack; the rest is the environment's, as for our own engine."""
    given: dict[str, Any] = {
        "database_url": SecretStr(settings.database_url),
        "kafka_bootstrap_servers": settings.kafka_bootstrap,
    }
    return Settings(**given)


def connect_settings(settings: StackSettings) -> ConnectSettings:
    """Return where this stack's worker is; it is near, so it is asked more often than one far away."""
    given: dict[str, Any] = {"connect_tries": _TRIES, "connect_pause_seconds": _PAUSE_SECONDS}
    given = {name: value for name, value in given.items() if name.upper() not in os.environ}
    return ConnectSettings(connect_url=settings.connect_url, **given)


def _explained(work: Callable[[], _Result]) -> _Result:
    try:
        return work()
    except CdcError as error:
        raise explained(error) from error


def explained(error: CdcError) -> StackError:
    """Return an error of the engine's as the command tells it: with its remedy."""
    return StackError(str(error), remedy_of(error.kind))
