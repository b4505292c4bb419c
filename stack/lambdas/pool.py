"""Owns the instances of all functions: warm ones are used again, new ones started up to the limits, idle ones ended.

Must never see a payload. An instance has a listening port of its own for its Runtime API, by which its calls are known;
the number of these ports is the limit of all functions together.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import structlog

from stack.lambdas.faults import Outcome, out_of_memory, throttled, timed_out
from stack.lambdas.instance import Instance, State
from stack.lambdas.process import MEASURE_SECONDS, Process
from stack.lambdas.registry import Configuration, Function

_log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Sandbox:
    """An instance, its process and its port; idle since when, by the monotonic clock."""

    function: Function
    instance: Instance
    process: Process
    port: int
    init_failure: Outcome | None = None
    init_milliseconds: float | None = None
    """How long the cold start took; None once the first invocation has told it."""
    idle_since: float | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Pool:
    """All instances. Use it in one event loop only."""

    def __init__(self, service: Configuration, ports: list[int]) -> None:
        """Have instances listen to their Runtime API at `ports`, each at one."""
        self._service = service
        self._free = list(ports)
        self._sandboxes: dict[int, Sandbox] = {}
        self._count: Counter[str] = Counter()
        self._waiting: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def at(self, port: int) -> Instance | None:
        """Return the instance whose Runtime API has this port."""
        sandbox = self._sandboxes.get(port)
        return sandbox.instance if sandbox else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many instances of each function are idle, and how many are not."""
        idle = Counter(each.function.name for each in self._sandboxes.values() if each.idle_since is not None)
        return {name: {"busy": self._count[name] - idle[name], "idle": idle[name]} for name in self._service.functions}

    async def take(self, function: Function, request_id: str) -> Sandbox:
        """Return an idle instance, or a new one after its start, whose `init_failure` may say why there is none.

        Raises:
            ApiError: As many run as may.
            OSError: The process cannot be started.
        """
        while True:
            idle = [each for each in self._idle() if each.function is function]
            if idle:
                # The one that was used last: the others come of age and are ended.
                sandbox = max(idle, key=lambda each: each.idle_since or 0)
                sandbox.idle_since = None
                return sandbox
            if function.concurrency is not None and self._count[function.name] >= function.concurrency:
                raise throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
            if self._free:
                return await self._start(function, request_id)
            others = self._idle()
            if not others:
                raise throttled("ConcurrentInvocationLimitExceeded")
            oldest = min(others, key=lambda each: each.idle_since or 0)
            self.end(oldest)
            await oldest.gone.wait()

    def release(self, sandbox: Sandbox) -> None:
        """Take an instance back that has answered, unless it has grown too large by many small calls."""
        if _outgrown(sandbox):
            _log.warning("instance_outgrown", function=sandbox.function.name, pid=sandbox.process.pid)
            self.end(sandbox)
        elif sandbox.instance.state is State.IDLE:
            sandbox.idle_since = time.monotonic()
            self._changed()

    def end(self, sandbox: Sandbox, why: Outcome | None = None) -> None:
        """Kill an instance; whoever waits for its answer gets `why`."""
        sandbox.idle_since = None
        if why is not None:
            sandbox.instance.condemn(why)
        sandbox.process.kill()

    async def changed(self) -> None:
        """Wait until an instance is free or gone."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def sweep(self) -> None:
        """Go on ending what is idle for too long or too large, until cancelled."""
        while True:
            await asyncio.sleep(MEASURE_SECONDS)
            now = time.monotonic()
            for sandbox in list(self._sandboxes.values()):
                if sandbox.idle_since is not None:
                    if now - sandbox.idle_since > self._service.idle_seconds:
                        _log.info("instance_reaped", function=sandbox.function.name, pid=sandbox.process.pid)
                        self.end(sandbox)
                elif _outgrown(sandbox):
                    self.end(sandbox, out_of_memory(sandbox.instance.request_id))

    async def close(self) -> None:
        """Kill every instance, and wait until none is left."""
        self._closed = True
        for sandbox in list(self._sandboxes.values()):
            self.end(sandbox)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _idle(self) -> list[Sandbox]:
        return [each for each in self._sandboxes.values() if each.idle_since is not None]

    async def _start(self, function: Function, request_id: str) -> Sandbox:
        began = time.monotonic()
        port = self._free.pop()
        self._count[function.name] += 1
        log = _log.bind(function=function.name)
        try:
            process = await Process.start(
                self._service, function, f"127.0.0.1:{port}", lambda line: log.info("function_log", line=line)
            )
        except BaseException:
            self._free.append(port)
            self._count[function.name] -= 1
            self._changed()
            raise
        sandbox = Sandbox(function, Instance(request_id), process, port)
        self._sandboxes[port] = sandbox
        task = asyncio.create_task(self._watch(sandbox))
        self._tasks.add(task)
        if self._closed:
            self.end(sandbox)
        task.add_done_callback(self._tasks.discard)
        seconds = self._service.init_seconds
        try:
            async with asyncio.timeout(seconds):
                sandbox.init_failure = await sandbox.instance.ready()
        except TimeoutError:
            self.end(sandbox, timed_out(request_id, seconds))
            sandbox.init_failure = await sandbox.instance.ready()
        except BaseException:
            self.end(sandbox)
            raise
        sandbox.init_milliseconds = (time.monotonic() - began) * 1000
        return sandbox

    async def _watch(self, sandbox: Sandbox) -> None:
        code = await sandbox.process.wait()
        sandbox.process.log.drain()
        sandbox.idle_since = None
        sandbox.instance.end(code)
        sandbox.process.log.close()
        del self._sandboxes[sandbox.port]
        self._free.append(sandbox.port)
        self._count[sandbox.function.name] -= 1
        _log.info("instance_ended", function=sandbox.function.name, pid=sandbox.process.pid, code=code)
        sandbox.gone.set()
        self._changed()

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def _outgrown(sandbox: Sandbox) -> bool:
    return sandbox.process.measure() > sandbox.function.memory_mb * 1024 * 1024
