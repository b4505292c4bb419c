"""Owns the replication connection of the bridge: the only module here that knows libpq. Decides nothing about calls."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import uuid4

import psycopg
from psycopg import pq, sql

from callbacks.bridge.wire import decode, encode_status

PUBLICATION: Final = "aws_lambda"
"""A publication without tables: pgoutput wants one, and so sends messages alone."""

_STATUS_SECONDS: Final = 1.0


class RequestStream:
    """A walsender session that reads from a temporary slot, which ends with it."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], received: Callable[[bytes], None]) -> None:
        """Hand each request to `received`, in the order of the WAL."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._received = received
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirmed = 0

    @classmethod
    async def open(cls, parameters: Mapping[str, Any], received: Callable[[bytes], None]) -> "RequestStream":
        """Create the slot and start; whatever is written from now on is received.

        Waits for every transaction that writes at this moment to end.

        Raises:
            psycopg.Error: No connection, no right to replicate, or no slot free.
        """
        connection = await psycopg.AsyncConnection.connect(**{**parameters, "replication": "database"}, autocommit=True)
        try:
            slot = sql.Identifier(f"aws_lambda_{uuid4().hex[:16]}")
            create = "CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
            await connection.execute(sql.SQL(create).format(slot))
            start = sql.SQL(
                "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {}, messages 'true')"
            ).format(slot, sql.Literal(PUBLICATION))
            _begin(connection.pgconn, start.as_bytes(connection))
        except BaseException:
            await connection.close()
            raise
        return cls(connection, received)

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            psycopg.Error: The connection is lost.
            WireError: The server sent something that is no frame.
        """
        loop = asyncio.get_running_loop()
        self._pgconn.nonblocking = 1
        loop.add_reader(self._pgconn.socket, self._readable)
        try:
            self._readable()
            while not self._ended.done():
                # The sign of life that the server waits for, and what lets it forget.
                self._confirm()
                await asyncio.wait({self._ended}, timeout=_STATUS_SECONDS)
            self._ended.result()
        finally:
            loop.remove_reader(self._pgconn.socket)

    async def close(self) -> None:
        """End the session, and the slot with it."""
        await self._connection.close()

    def _readable(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - raised by run, in which nobody else would hear of it
            asyncio.get_running_loop().remove_reader(self._pgconn.socket)
            if not self._ended.done():
                self._ended.set_exception(error)

    def _read(self) -> None:
        self._pgconn.consume_input()
        while True:
            length, data = self._pgconn.get_copy_data(1)
            if length == 0:
                return
            if length < 0:
                result = self._pgconn.get_result()
                if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
                    raise psycopg.errors.error_from_result(result)
                raise psycopg.OperationalError("the server ended the stream")
            frame = decode(bytes(data))
            self._confirmed = max(self._confirmed, frame.wal_end)
            if frame.request is not None:
                self._received(frame.request)
            if frame.reply:
                self._confirm()

    def _confirm(self) -> None:
        self._pgconn.put_copy_data(encode_status(self._confirmed, time.time()))
        self._pgconn.flush()


def _begin(pgconn: pq.abc.PGconn, command: bytes) -> None:
    result = pgconn.exec_(command)
    if result.status != pq.ExecStatus.COPY_BOTH:
        raise psycopg.errors.error_from_result(result)
