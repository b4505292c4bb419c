"""Deploy the connector: `python -m cdc.debezium deploy` (CD-67). Configured by the environment, as the engine is.

Exit codes: 0 the connector and its task run, 1 they do not (with trace and remedy), 2 call or setting are wrong.
"""

import sys

from pydantic import ValidationError

from cdc.debezium.handover import start
from cdc.debezium.settings import ConnectSettings
from cdc.errors import CdcError
from cdc.settings import Settings
from cdc.watch.diagnosis import remedy_of


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    if arguments != ["deploy"]:
        sys.stderr.write("usage: python -m cdc.debezium deploy\n")
        return 2
    try:
        settings, where = Settings(), ConnectSettings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            sys.stderr.write(f"{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}\n")
        return 2
    try:
        deployed = start(settings, where)
    except CdcError as error:
        sys.stderr.write(f"{error}\n{remedy_of(error.kind)}\n")
        return 1
    done = "created or updated" if deployed.changed else "unchanged"
    sys.stdout.write(f"{deployed.name}: {done}, RUNNING\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
