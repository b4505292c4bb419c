"""Owns one invocation: an instance, the function's time, the log of it, the report.

Must never know HTTP. Never logs a payload, a response, or what a function's error says.
"""

import asyncio
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import structlog

from stack.lambdas.faults import ApiError, Outcome, service_error, timed_out
from stack.lambdas.instance import Invocation, NotDeliveredError
from stack.lambdas.pool import Pool, Sandbox
from stack.lambdas.registry import LATEST, Configuration, Function

_log = structlog.get_logger()

_THROTTLED: Final = 429


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller asks of a function; the id stays the same when an asynchronous call is tried again."""

    payload: bytes
    client_context: str = ""
    trace_id: str = ""
    request_id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome, and the last 4 KB of the log."""

    outcome: Outcome
    log: bytes


class Invoker:
    """Runs calls on the instances of a pool, until it is closed."""

    def __init__(self, service: Configuration, pool: Pool) -> None:
        self._service = service
        self._pool = pool
        self._closing = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def invoke(self, function: Function, call: Call, *, patient: bool = False) -> Result:
        """Run a function once; a patient caller waits for an instance instead of being throttled.

        Raises:
            ApiError: Throttled, or the service stops or fails.
        """
        if self._closing:
            raise service_error("the local Lambda service is stopping")
        self._under_way += 1
        self._idle.clear()
        try:
            while True:
                sandbox = await self._take(function, call, patient=patient)
                try:
                    return await self._run(sandbox, call)
                except NotDeliveredError:
                    continue
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def close(self, seconds: float) -> None:
        """Refuse new calls, and give those under way so many seconds."""
        self._closing = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)

    async def _take(self, function: Function, call: Call, *, patient: bool) -> Sandbox:
        while True:
            try:
                return await self._pool.take(function, call.request_id)
            except ApiError as error:
                if not patient or error.status != _THROTTLED:
                    raise
            except OSError as error:
                _log.error("instance_not_started", function=function.name, error=str(error))
                message = f"the process of {function.name} cannot be started: {error.strerror}"
                raise service_error(message) from error
            await self._pool.changed()

    async def _run(self, sandbox: Sandbox, call: Call) -> Result:
        function, log = sandbox.function, sandbox.process.log
        if sandbox.init_failure is not None:
            return self._result(sandbox, call, sandbox.init_failure, 0.0)
        log.drain()
        if sandbox.init_milliseconds is None:
            log.begin()
        log.note(f"START RequestId: {call.request_id} Version: {LATEST}\n")
        began = time.monotonic()
        answer = sandbox.instance.give(
            Invocation(
                request_id=call.request_id,
                payload=call.payload,
                arn=self._service.arn(function.name),
                deadline_ms=math.floor((time.time() + function.timeout_seconds) * 1000),
                trace_id=call.trace_id or f"Root=1-{int(time.time()):08x}-{uuid4().hex[:24]};Sampled=0",
                client_context=call.client_context,
            )
        )
        try:
            done, _ = await asyncio.wait({answer}, timeout=function.timeout_seconds)
            if not done:
                self._pool.end(sandbox, timed_out(call.request_id, function.timeout_seconds))
            outcome = await answer
        except asyncio.CancelledError:
            self._pool.end(sandbox)
            raise
        result = self._result(sandbox, call, outcome, (time.monotonic() - began) * 1000)
        self._pool.release(sandbox)
        return result

    def _result(self, sandbox: Sandbox, call: Call, outcome: Outcome, milliseconds: float) -> Result:
        """Write the lines that AWS writes at the end, and the event of our own log."""
        process, function = sandbox.process, sandbox.function
        process.log.drain()
        if outcome.error.startswith("Sandbox."):
            seconds = function.timeout_seconds if sandbox.init_failure is None else self._service.init_seconds
            process.log.note(f"{call.request_id} Task timed out after {seconds:.2f} seconds\n")
        used = math.ceil(process.measure() / 1024 / 1024)
        cold = sandbox.init_milliseconds
        sandbox.init_milliseconds = None
        process.log.note(
            f"END RequestId: {call.request_id}\n"
            f"REPORT RequestId: {call.request_id}\tDuration: {milliseconds:.2f} ms"
            f"\tBilled Duration: {math.ceil(milliseconds)} ms\tMemory Size: {function.memory_mb} MB"
            f"\tMax Memory Used: {used} MB\t" + (f"Init Duration: {cold:.2f} ms\t\n" if cold is not None else "\n")
        )
        _log.info(
            "invocation",
            function=function.name,
            request_id=call.request_id,
            milliseconds=round(milliseconds, 2),
            init_milliseconds=None if cold is None else round(cold, 2),
            memory_mb=used,
            error=outcome.error or None,
        )
        return Result(outcome, process.log.tail())
