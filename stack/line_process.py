"""Owns a child process of a measurement that speaks in lines: its start, what it is told and says, its end.

It is a Python module that is run with the number of the descriptor for its answers as first argument, and reads what it
is told from standard input. Its output is a log.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError


class LineProcess:
    """Hold one such process; `line_process` starts and ends it."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._module, self._log = module, log
        reads, writes = os.pipe()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(writes), *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(writes,),
                env={**os.environ, **environment},
                text=True,
            )
        os.close(writes)
        self._answers = os.fdopen(reads)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def tell(self, text: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def line(self) -> str:
        """Return what it says next, waiting for it.

        Raises:
            StackError: It has ended; with the end of its log.
        """
        if not (line := self._answers.readline()):
            said = self._log.read_text(errors="replace").strip()[-400:]
            raise StackError(f"{self._module} has ended: {said}", "Run the command again.")
        return line

    def close(self) -> None:
        """Let it come to its end, which the end of its input is."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._answers.close()
        self._process.wait()


@contextmanager
def line_process(
    module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[LineProcess]:
    """Run a module for a while.

    Args:
        module: Its full name.
        arguments: What follows the descriptor.
        log: Where its output goes.
        environment: More variables for it.
    """
    process = LineProcess(module, arguments, log, environment or {})
    try:
        yield process
    finally:
        process.close()
