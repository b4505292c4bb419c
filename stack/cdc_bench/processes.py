"""Owns the processes that are measured: started for one turn, watched, stopped. Must never know what they do."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from stack.cdc_bench.figures import Sample
from stack.errors import StackError
from stack.local import LocalStack
from stack.supervision import MARK

_SAMPLE_SECONDS = 0.05
_FAMILY_SECONDS = 1.0
_STOP_SECONDS = 20
_TAIL_LINES = 20


class Watch:
    """Sample processor time and resident memory of a process and its children, until it ends or is let go."""

    def __init__(self, pid: int) -> None:
        self.samples: list[Sample] = []
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no longer."""
        self._ended.set()
        self._thread.join()

    @property
    def peak_rss(self) -> int:
        """Return the largest resident set so far, in bytes."""
        return max((each.rss for each in self.samples), default=0)

    def _watch(self) -> None:
        family, renewed = [self._root], 0.0
        try:
            while not self._ended.wait(_SAMPLE_SECONDS):
                # To look for children is to look at every process of the machine.
                if time.monotonic() - renewed > _FAMILY_SECONDS:
                    family, renewed = [self._root, *self._root.children(recursive=True)], time.monotonic()
                self.samples.append(_sample(family))
        except psutil.Error:
            return


def _sample(family: Sequence[psutil.Process]) -> Sample:
    processor, rss = 0.0, 0
    for each in family:
        spent = each.cpu_times()
        processor += spent.user + spent.system
        rss += each.memory_info().rss
    return Sample(time.time(), processor, rss)


def processor_seconds_of(pid: int | None) -> float:
    """Return the processor seconds that a process has used, 0 where there is none."""
    try:
        spent = psutil.Process(pid).cpu_times() if pid else None
    except psutil.Error:
        return 0.0
    return float(spent.user + spent.system) if spent else 0.0


class Running:
    """One process from its start to its end; leaving the block stops it in order.

    Args:
        stack: Whose process it is: what outlives the command is found by that.
        name: Of its log.
        command: The program and its arguments.
        environment: Added to ours.
    """

    def __init__(self, stack: LocalStack, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.log: Path = stack.log_file(name)
        self._name = name
        with self.log.open("wb") as output:
            self.started = time.time()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=stack.state.root,
                env={**os.environ, MARK: str(stack.state.root), **environment},
                start_new_session=True,
            )
        self.watch = Watch(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watch.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Refuse to go on without it.

        Raises:
            StackError: It has ended, with the end of its log.
        """
        if self._process.poll() is not None:
            raise self.failure("has ended by itself")

    def failure(self, problem: str) -> StackError:
        """Return an error with the end of the log, which is gone with the stack."""
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        return StackError(f"{self._name} {problem}. The end of its log:\n{tail}\n", "Look for the cause there.")
