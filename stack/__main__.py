"""Owns the entry of the `headwater` command: signals, exit codes, and how a failure looks.

It imports the rest only after the signals are set: a Ctrl-C while Python still loads is no traceback either.
"""

import signal
import sys
from types import FrameType


class Interrupted(BaseException):
    """Leave every block on the way out, because the user or the system said so."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second Ctrl-C must not cut the clean-up short.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def main() -> None:
    """Run the command line: exit 0 when the work is done, 1 when it failed, 2 on wrong usage, 130 on Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        from stack.cli import run  # noqa: PLC0415 - see above

        sys.exit(run())
    except Interrupted as interrupted:
        sys.stderr.write("Interrupted; what this command had started is stopped.\n")
        sys.exit(interrupted.exit_code)


if __name__ == "__main__":
    main()
