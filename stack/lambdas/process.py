"""Owns the process of one instance: its environment, its log, its memory, its end.

Must never know what an invocation is. A process is the leader of a session of its own, and is killed with all of it.
"""

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import psutil

from stack.lambdas.registry import LATEST, Configuration, Function

_CHILD: Final = Path(__file__).with_name("child.py")

MEASURE_SECONDS: Final = 0.05
"""How often memory is looked at: a look costs as much as a tenth of a short call."""

TAIL_BYTES: Final = 4096
"""How much of a log `LogType: Tail` returns."""

_LINE_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 64 * 1024

_READS: Final = 4
"""So many reads at once: more than a pipe holds, yet an end, however fast a function writes."""


class Log:
    """What a process writes to standard output and error, line by line, and the end of it since `begin`."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._tail = bytearray()
        self._line = bytearray()
        self._open = True
        self._read, self.write_end = os.pipe()
        os.set_blocking(self._read, False)
        asyncio.get_running_loop().add_reader(self._read, self.drain)

    def begin(self) -> None:
        """Forget the tail."""
        self._tail.clear()

    def drain(self) -> None:
        """Take what has been written so far; a function writes its log before it answers, so that log is whole."""
        for _ in range(_READS if self._open else 0):
            try:
                chunk = os.read(self._read, _READ_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                asyncio.get_running_loop().remove_reader(self._read)
                return
            self.add(chunk)

    def add(self, chunk: bytes) -> None:
        """Take what the process wrote."""
        self._keep(chunk)
        self._line += chunk
        *lines, rest = self._line.split(b"\n")
        self._line = rest if len(rest) < _LINE_BYTES else bytearray()
        for line in lines if self._line is rest else [*lines, rest]:
            if line.strip():
                self._emit(line.decode(errors="replace").rstrip())

    def note(self, text: str) -> None:
        """Append a line of the service's own; it is in the tail only."""
        self._keep(text.encode())

    def _keep(self, chunk: bytes) -> None:
        self._tail += chunk
        del self._tail[:-TAIL_BYTES]

    def tail(self) -> bytes:
        """Return the last 4 KB since `begin`."""
        return bytes(self._tail)

    def close(self) -> None:
        """Read the rest and let go of the pipe."""
        self.drain()
        if self._line.strip():
            self._emit(self._line.decode(errors="replace").rstrip())
        asyncio.get_running_loop().remove_reader(self._read)
        self._open = False
        os.close(self._read)


class Process:
    """One running process of a function."""

    def __init__(self, process: asyncio.subprocess.Process, log: Log) -> None:
        self._process = process
        self.log = log
        self.peak_bytes = 0
        self._measured = -math.inf
        try:
            self._meter: psutil.Process | None = psutil.Process(process.pid)
        except psutil.Error:
            self._meter = None

    @classmethod
    async def start(
        cls, service: Configuration, function: Function, runtime_api: str, emit: Callable[[str], None]
    ) -> Self:
        """Start the runtime of a function against the Runtime API at `runtime_api` (host:port).

        Raises:
            OSError: The process cannot be started.
        """
        log = Log(emit)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(_CHILD), str(os.getpid()), function.handler),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log.write_end,
                stderr=log.write_end,
                env=environment(service, function, runtime_api),
                cwd=function.code,
                start_new_session=True,
            )
        except BaseException:
            os.close(log.write_end)
            log.close()
            raise
        os.close(log.write_end)
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    def measure(self) -> int:
        """Return the largest resident memory seen, in bytes, after a look at it unless there was one just now."""
        now = time.monotonic()
        if now - self._measured >= MEASURE_SECONDS and self._meter is not None:
            self._measured = now
            with suppress(psutil.Error):
                self.peak_bytes = max(self.peak_bytes, self._meter.memory_info().rss)
        return self.peak_bytes

    def kill(self) -> None:
        """Kill the process and what it has started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end, so that no zombie stays; return the exit code, negative for a signal."""
        code = await self._process.wait()
        # What it started may still hold the session.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return code


def environment(service: Configuration, function: Function, runtime_api: str) -> dict[str, str]:
    """Return the environment of a function: its own variables and those of the runtime, nothing of the service's."""
    own = {name: value.get_secret_value() for name, value in function.environment.items()}
    inherited = {name: os.environ[name] for name in function.environment_from}
    root = str(function.code or Path.cwd())
    base = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONUNBUFFERED": "1",
        "AWS_REGION": service.region,
        "AWS_DEFAULT_REGION": service.region,
    }
    variables = {**base, **inherited, **own}
    paths = [root] if function.code else []
    if variables.get("PYTHONPATH"):
        paths.append(variables["PYTHONPATH"])
    return {
        **variables,
        **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {}),
        "_HANDLER": function.handler,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": LATEST,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": runtime_api,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_TASK_ROOT": root,
    }
