"""Owns the rows in which answers go back: written in batches, deleted when the time of their session is over."""

import asyncio
from typing import Any, Final

import psycopg

from callbacks.bridge.calls import Answer

_SWEEP_SECONDS: Final = 1.0
_KEPT_SECONDS: Final = 1
"""How much longer than its session waits an answer is kept: the last look may be slow."""

_WRITE: Final = """
INSERT INTO aws_lambda._answer
    (id, expires, status_code, payload, executed_version, log_result, failure, detail, hint)
SELECT id, to_timestamp(expires), status_code, payload, executed_version, log_result, failure, detail, hint
FROM unnest(%b::uuid[], %b::float8[], %b::int[], %b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[],
    %b::text[])
    AS each (id, expires, status_code, payload, executed_version, log_result, failure, detail, hint)
"""
_SWEEP: Final = "DELETE FROM aws_lambda._answer WHERE expires < clock_timestamp() - make_interval(secs => %s)"


class Answers:
    """Write answers by one connection; all that come while one batch is written are the next."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._waiting: list[Answer] = []
        self._come = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()

    def add(self, answer: Answer) -> None:
        """Let an answer be written soon."""
        self._waiting.append(answer)
        self._written.clear()
        self._come.set()

    async def write(self) -> None:
        """Write until cancelled.

        Raises:
            psycopg.Error: The database does not take them.
        """
        while True:
            await self._come.wait()
            self._come.clear()
            batch, self._waiting = self._waiting, []
            await self._connection.execute(_WRITE, _columns(batch), prepare=True)
            if not self._waiting:
                self._written.set()

    async def drain(self) -> None:
        """Wait until every answer is written."""
        await self._written.wait()

    async def sweep(self) -> None:
        """Delete what nobody fetches any more, until cancelled.

        Raises:
            psycopg.Error: The database refuses.
        """
        while True:
            await self._connection.execute(_SWEEP, (_KEPT_SECONDS,), prepare=True)
            await asyncio.sleep(_SWEEP_SECONDS)


def _columns(batch: list[Answer]) -> list[list[Any]]:
    return [
        [each.id for each in batch],
        [each.expires for each in batch],
        [each.status_code for each in batch],
        [each.payload for each in batch],
        [each.executed_version for each in batch],
        [each.log_result for each in batch],
        [each.failure for each in batch],
        [each.detail for each in batch],
        [each.hint for each in batch],
    ]
