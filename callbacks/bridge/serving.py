"""Owns the life of a bridge at one database: one at a time, known by a generation, and every call to its answer.

Sessions see a bridge by the advisory lock that its connection holds, which the server frees however the bridge ends,
and by its generation, which a successor changes. So the order of a start matters: lock, slot, then generation.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import structlog

from callbacks.bridge.answers import Answers
from callbacks.bridge.calls import Call, RequestError, read_call
from callbacks.bridge.invoking import Invoker
from callbacks.bridge.settings import BridgeSettings
from callbacks.bridge.stream import PUBLICATION, RequestStream

_LOCK: Final = "1818324322, 1"
_GRACE_SECONDS: Final = 2.0
_FLUSH_SECONDS: Final = 0.005
_PATIENCE_SECONDS: Final = 1.0

_log = structlog.get_logger()


class Bridge:
    """Carry the calls of one database until something breaks or it is told to stop."""

    def __init__(self, parameters: Mapping[str, Any], settings: BridgeSettings) -> None:
        """Take libpq parameters of the database."""
        self._parameters = parameters
        self._settings = settings
        self._generation: UUID = uuid4()
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self, stop: asyncio.Event) -> None:
        """Carry calls until `stop`; those under way then have two seconds.

        Raises:
            psycopg.Error: The database is lost, or refuses.
            WireError: The server does not speak as it should.
        """
        # The lock may be waited for as long as another bridge lives.
        connection = await psycopg.AsyncConnection.connect(**self._parameters, autocommit=True)
        try:
            await self._begin(connection, stop)
            if not stop.is_set():
                await self._carry(connection, stop)
        finally:
            await connection.close()

    async def _begin(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        told = False
        while not stop.is_set():
            found = await _one(connection, "SELECT to_regclass('aws_lambda._answer') IS NOT NULL")
            if found and await _one(connection, f"SELECT pg_try_advisory_lock({_LOCK})"):
                return
            if not told:
                _log.info("bridge_waits", reason="another bridge runs" if found else "no extension aws_lambda yet")
                told = True
            await _pause(stop, _PATIENCE_SECONDS)

    async def _carry(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        await connection.execute("DELETE FROM aws_lambda._bridge")
        if not await _one(connection, "SELECT count(*) FROM pg_publication WHERE pubname = %s", PUBLICATION):
            await connection.execute(f"CREATE PUBLICATION {PUBLICATION}")
        ahead = float(await _one(connection, "SELECT extract(epoch FROM clock_timestamp())")) - time.time()
        invoker = Invoker(
            str(self._settings.aws_endpoint_url_lambda),
            self._settings.callback_concurrency,
            # Deadlines are of the server's clock.
            lambda: time.time() + ahead,
        )
        answers = Answers(connection)
        stream = await RequestStream.open(self._parameters, lambda content: self._received(content, invoker, answers))
        try:
            await connection.execute("INSERT INTO aws_lambda._bridge (generation) VALUES (%s)", (self._generation,))
            _log.info("bridge_ready", generation=str(self._generation), concurrency=self._settings.callback_concurrency)
            work = [stream.run(), answers.write(), answers.sweep()]
            if connection.info.server_version < 170_000:
                work.append(_flush(connection))
            await self._until(stop, [asyncio.create_task(each) for each in work], answers)
        finally:
            for task in self._calls:
                task.cancel()
            await stream.close()
            invoker.close()

    async def _until(self, stop: asyncio.Event, work: list[asyncio.Task[None]], answers: Answers) -> None:
        stopped: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopped, *work}, return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()
            work[0].cancel()
            if self._calls:
                await asyncio.wait(self._calls, timeout=_GRACE_SECONDS)
            async with asyncio.timeout(_GRACE_SECONDS):
                await answers.drain()
            _log.info("bridge_stopped", calls_lost=len(self._calls))
        finally:
            for task in (stopped, *work):
                task.cancel()
            await asyncio.gather(stopped, *work, return_exceptions=True)

    def _received(self, content: bytes, invoker: Invoker, answers: Answers) -> None:
        try:
            call = read_call(content)
        except RequestError as error:
            _log.warning("request_unreadable", error=str(error))
            return
        if call.generation != self._generation:
            # Its session was told of another bridge, and sees that this is a new one.
            return
        task = asyncio.create_task(_answered(call, invoker, answers))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)


async def _answered(call: Call, invoker: Invoker, answers: Answers) -> None:
    began = time.monotonic()
    answer = await invoker.invoke(call)
    took = round((time.monotonic() - began) * 1000, 1)
    if answer is None:
        _log.warning("callback_late", function=call.function, milliseconds=took)
        return
    answers.add(answer)
    if answer.failure is not None:
        _log.warning("callback_failed", function=call.function, milliseconds=took, failure=answer.failure)
    else:
        _log.debug("callback", function=call.function, milliseconds=took, status=answer.status_code)


async def _flush(connection: psycopg.AsyncConnection[Any]) -> None:
    """Let requests be flushed, and so sent: a server before 17 does not by itself, unless somebody commits."""
    while True:
        if await _one(connection, "SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn()"):
            await connection.execute("SELECT pg_logical_emit_message(true, 'aws_lambda.flush', '')")
        await asyncio.sleep(_FLUSH_SECONDS)


async def _one(connection: psycopg.AsyncConnection[Any], query: str, *values: Any) -> Any:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    return row[0] if row is not None else None


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
