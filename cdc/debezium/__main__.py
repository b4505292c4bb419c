"""The commands of Debezium's side: `python -m cdc.debezium deploy|to-native|worker|check`, set by the environment.

`deploy` registers the connector or updates it (CD-67); `to-native` takes it away and leaves slot and bookmark to our
own engine; `worker` prints the properties of a Kafka Connect worker that is fit to run it; `check` fails unless the
worker answers and the connector, once there is one, runs.

Exit codes: 0 done (after `deploy` the connector and its task run), 1 failed (with trace and remedy), 2 call or setting
are wrong.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import ValidationError

from cdc.debezium.client import Connect
from cdc.debezium.handover import start, to_native
from cdc.debezium.settings import ConnectSettings
from cdc.debezium.worker import WorkerSettings, worker_properties
from cdc.errors import CdcError, Kind
from cdc.lsn import format_lsn
from cdc.settings import Settings
from cdc.watch.diagnosis import remedy_of


def _deploy() -> str:
    deployed = start(Settings(), ConnectSettings())
    return f"{deployed.name}: {'created or updated' if deployed.changed else 'unchanged'}, RUNNING\n"


def _to_native() -> str:
    done = to_native(Settings(), ConnectSettings())
    where = "at the beginning" if done.confirmed is None else f"at {format_lsn(done.confirmed)}"
    return f"our own engine goes on {where}, at most {done.repeated} changes come twice\n"


def _check() -> str:
    where = ConnectSettings().model_copy(update={"connect_tries": 1})
    with Connect(where) as worker:
        state = worker.state()
    if state is not None and not state.runs:
        raise CdcError(Kind.CONNECTOR, f"connector {state.connector}, tasks {state.tasks}: {state.trace}")
    return "no connector yet\n" if state is None else "RUNNING\n"


def _worker() -> str:
    return worker_properties(WorkerSettings())


_COMMANDS: Final[Mapping[str, Callable[[], str]]] = {
    "deploy": _deploy,
    "to-native": _to_native,
    "worker": _worker,
    "check": _check,
}


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in _COMMANDS:
        sys.stderr.write(f"usage: python -m cdc.debezium {'|'.join(_COMMANDS)}\n")
        return 2
    try:
        told = _COMMANDS[arguments[0]]()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            sys.stderr.write(f"{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}\n")
        return 2
    except CdcError as error:
        sys.stderr.write(f"{error}\n{remedy_of(error.kind)}\n")
        return 1
    sys.stdout.write(told)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
