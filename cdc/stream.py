"""Owns the replication connection: the only module that knows libpq. Decides nothing about records or retries.

Source of facts: PostgreSQL manual, "Streaming Replication Protocol" and "Logical Streaming Replication Parameters";
psycopg's `pq` module, which it documents as public.
"""

import math
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import pq, sql

from cdc.errors import DatabaseError, Kind
from cdc.failpoints import Failpoint, reach
from cdc.lsn import Lsn, parse_lsn
from cdc.pgoutput.frames import FrameReader, encode_status
from cdc.pgoutput.messages import WireEvent
from cdc.postgres import connect, keeps_any_bytes, kind_of, translated
from cdc.slots.vigil import Silence

_BATCH_EVENTS: Final = 1024
_BATCH_BYTES: Final = 1024 * 1024
_CLOSING_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class CreatedSlot:
    """A slot at its birth: everything that committed before `consistent_point` is in `snapshot`, the rest follows."""

    name: str
    consistent_point: Lsn
    snapshot: str
    """The name of the exported snapshot; it can be imported until the next command on the same connection."""


class ReplicationConnection:
    """A walsender session: creates a slot, or streams from one."""

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            DatabaseError: No connection, or no right to replicate.
        """
        self._connection = connect(url, replication=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def create_slot(self, name: str, *, temporary: bool = False) -> CreatedSlot:
        """Create a pgoutput slot and export the snapshot of its consistent point.

        Waits for every transaction that runs at this moment to end. A temporary slot ends with the connection.

        Raises:
            DatabaseError: The slot exists, there is no slot free, or the server refuses.
        """
        command = sql.SQL("CREATE_REPLICATION_SLOT {} {} LOGICAL pgoutput EXPORT_SNAPSHOT").format(
            sql.Identifier(name), sql.SQL("TEMPORARY" if temporary else "")
        )
        with translated():
            row: Any = self._connection.execute(command).fetchone()
        return CreatedSlot(name, parse_lsn(row[1]), row[2])

    def set_failover(self, slot: str) -> None:
        """Let standbys keep a copy of the slot (PostgreSQL 17 and newer); nobody may be reading it.

        Raises:
            DatabaseError: The slot is in use, or the server refuses.
        """
        with translated():
            self._connection.execute(
                sql.SQL("ALTER_REPLICATION_SLOT {} ( FAILOVER true )").format(sql.Identifier(slot))
            )

    def start(
        self, slot: str, publication: str, *, deadline: float, ask_after: float = math.inf, streaming: bool = False
    ) -> "ReplicationStream":
        """Start streaming from where the slot was confirmed.

        Args:
            slot: The name of an existing slot that nobody streams from.
            publication: The publication whose tables to send.
            deadline: Give the server up after this many seconds without a sign of life.
            ask_after: Ask an idle server for one after this many seconds, at the latest after half the deadline.
            streaming: Let the server send large transactions in blocks before they commit.

        Raises:
            DatabaseError: The slot is active, gone or invalidated, or the server refuses.
        """
        # Messages are asked for whether somebody wants them or not: they count in a transaction's ordinals, and no
        # setting of ours may move those.
        command = sql.SQL(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version {}, publication_names {}, messages 'true'{})"
        ).format(
            sql.Identifier(slot),
            sql.Literal(str(_protocol(self._connection.info.server_version))),
            sql.Literal(sql.Identifier(publication).as_string()),
            # Not 'parallel': whole transactions are applied in the order of their commits.
            sql.SQL(", streaming 'on'" if streaming else ""),
        )
        pgconn = self._connection.pgconn
        start = command.as_bytes(self._connection)
        with translated():
            if keeps_any_bytes(self._connection):
                self._connection.execute("SET client_encoding = 'SQL_ASCII'")
            result = pgconn.exec_(start)
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise _failed(result)
        return ReplicationStream(pgconn, deadline=deadline, ask_after=ask_after, streaming=streaming)


class ReplicationStream:
    """The events of a slot, read without blocking longer than asked; confirmations go the other way."""

    def __init__(
        self,
        pgconn: pq.abc.PGconn,
        *,
        deadline: float,
        ask_after: float = math.inf,
        streaming: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over a connection that is in COPY BOTH mode."""
        self._pgconn = pgconn
        self._pgconn.nonblocking = 1
        self._clock = clock
        self._silence = Silence(deadline, ask_after, clock())
        self._poll = select.poll()
        self._frames = FrameReader()
        self._poll.register(pgconn.socket, select.POLLIN)
        self._streaming = streaming
        self._confirmed = Lsn(0)
        self._failure: DatabaseError | None = None

    def read(self, timeout: float) -> list[WireEvent]:
        """Return the next events, none if none come within `timeout` seconds; at most a thousand or a megabyte.

        Raises:
            ProtocolError: The server sent something that is no event.
            DatabaseError: The connection is lost, or silent beyond the deadline.
        """
        self._go_on()
        events: list[WireEvent] = []
        try:
            with translated():
                room = self._take(events, _BATCH_BYTES)
                # Look before waiting: under TLS bytes may wait in libpq while the socket has none.
                room = self._look(events, room)
                if not events and self._poll.poll(timeout * 1000):
                    self._look(events, room)
                if self._silence.watch(self._clock(), heard=bool(events)):
                    self._send_status(reply_requested=True)
        except DatabaseError as error:
            if not events:
                raise
            # What came before the end is whole: an engine that met the same end again and again would else never move.
            self._failure = error
        return events

    def confirm(self, lsn: Lsn) -> None:
        """Tell the server that everything before `lsn` is safe. Also the sign of life it waits for.

        Raises:
            DatabaseError: The connection is lost.
        """
        self._go_on()
        further = 0 < self._confirmed < lsn
        self._confirmed = lsn
        if further:
            reach(Failpoint.CONFIRMING)
        self._send_status()
        if further:
            reach(Failpoint.CONFIRMED)

    def finish(self) -> None:
        """End the stream in order, so that the last confirmation is certain to be read; wait two seconds at most.

        Raises:
            DatabaseError: The connection is lost.
        """
        reach(Failpoint.LAST_CONFIRMED)
        until = self._clock() + _CLOSING_S
        with translated():
            self._pgconn.put_copy_end()
            self._pgconn.flush()
            while self._pgconn.get_copy_data(1)[0] >= 0 and self._clock() < until:
                if self._poll.poll(100):
                    self._pgconn.consume_input()

    def _go_on(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _look(self, events: list[WireEvent], room: int) -> int:
        """Add what the socket holds, as `_take` does.

        libpq takes some 16 kB at a time, and a round of the loop costs as much for few events as for many.
        """
        found = -1
        while room > 0 and len(events) > found:
            found = len(events)
            self._pgconn.consume_input()
            room = self._take(events, room)
        return room

    def _take(self, events: list[WireEvent], room: int) -> int:
        """Add what libpq holds, of at most `room` bytes; return the room that is left, 0 when there are enough."""
        read = self._frames.read
        get_copy_data = self._pgconn.get_copy_data
        while room > 0 and len(events) < _BATCH_EVENTS:
            length, data = get_copy_data(1)
            if length <= 0:
                if length < 0:
                    raise self._ended()
                return room
            events.append(read(data))
            room -= length
        return 0

    def _send_status(self, *, reply_requested: bool = False) -> None:
        with translated():
            self._pgconn.put_copy_data(encode_status(self._confirmed, time.time(), reply_requested=reply_requested))
            self._pgconn.flush()

    def _ended(self) -> DatabaseError:
        result = self._pgconn.get_result()
        if result is None or result.status != pq.ExecStatus.FATAL_ERROR:
            return DatabaseError(Kind.CONNECTION_LOST, "the server ended the stream")
        error = _failed(result)
        if self._streaming and error.kind is Kind.DATABASE:
            # PostgreSQL 14 to 18 cannot decode some running transactions with ALTER TABLE and rolled-back savepoints
            # ("could not map filenumber …"), but can when they have committed.
            return DatabaseError(Kind.STREAM_REFUSED, str(error))
        return error


def _protocol(server_version: int) -> int:
    """Return the newest protocol that the server speaks (PostgreSQL manual, "Logical Streaming Replication")."""
    return 4 if server_version >= 160_000 else 3 if server_version >= 150_000 else 2


def _failed(result: pq.abc.PGresult) -> DatabaseError:
    error = psycopg.errors.error_from_result(result)
    return DatabaseError(kind_of(error.sqlstate, str(error)), str(error).strip())
