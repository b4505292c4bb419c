"""Owns the thread that reads the database for an incremental snapshot, on a connection of its own. Judges nothing.

The loop never waits for it: tasks go in and answers come out by queues. The connection is opened for the first task of
a job and closed when there is none for a while, so an engine without jobs has none.
"""

import queue
import threading
import time
from contextlib import suppress
from typing import Any, Final

import psycopg
import structlog
from psycopg import Connection

from cdc.backfill import query
from cdc.backfill.messages import CHANNEL, PREFIX, End, Job, KeyTexts, Read, State, encode, encode_notice
from cdc.backfill.tasks import Answer, Chunk, Emit, Failed, Later, Open, Opened, ReadChunk, Task
from cdc.catalog import Table, read_tables
from cdc.errors import CdcError, Kind
from cdc.failpoints import Failpoint, reach
from cdc.lsn import Position
from cdc.policy import Retry, decide
from cdc.postgres import connect, translated
from cdc.readback import Search, read_tails
from cdc.session import Session

_log: Final = structlog.get_logger(__name__)

_IDLE_S: Final = 5.0
_AGAIN_S: Final = 0.002
_PATIENCE_S: Final = 1.0
_CLOSING_S: Final = 5.0

# The transaction id makes the commit flush the WAL: a message alone would wait for somebody else's commit. Whether a
# standby has it is of no concern.
_EMIT: Final = "SELECT pg_logical_emit_message(false, %s, %s), pg_current_xact_id()"


class _ClosedError(Exception):
    """The session ends."""


class ThreadReader:
    """Do the tasks of one session, in order, in a thread."""

    def __init__(self, session: Session, life: str) -> None:
        """Start nothing yet; the thread begins with the first task."""
        self._session = session
        self._life = life
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._connection: Connection[Any] | None = None

    def submit(self, task: Task) -> None:
        """Take a task; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cdc-snapshot", daemon=True)
            self._thread.start()
        self._tasks.put(task)

    def poll(self) -> Answer | None:
        """Return the next answer, None if there is none yet."""
        try:
            return self._answers.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Cancel what runs and end the thread; what was under way is done again by the next session."""
        self._closing.set()
        if self._thread is None:
            return
        self._tasks.put(None)
        if (connection := self._connection) is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=_CLOSING_S)
        self._thread.join(_CLOSING_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                task = self._tasks.get(timeout=_IDLE_S)
            except queue.Empty:
                self._disconnect()
                continue
            if task is None:
                break
            try:
                self._do(task)
            except _ClosedError:
                break
            except CdcError as error:
                self._disconnect()
                self._answers.put(self._failed(task, error))
            except Exception as error:  # noqa: BLE001  # without an answer the job would wait for ever
                _log.exception("snapshot_reader_failed")
                self._disconnect()
                self._answers.put(Failed(task.number, f"{type(error).__name__}: {error}"[:1000], passing=False))
        self._disconnect()

    def _do(self, task: Task) -> None:
        with translated():
            connection = self._connected()
            if isinstance(task, Emit):
                self._emit(connection, task)
            elif isinstance(task, Open):
                self._answers.put(self._open(connection, task))
            else:
                self._read(connection, task)

    def _emit(self, connection: Connection[Any], task: Emit) -> None:
        message = task.message
        if isinstance(message, End):
            reach(Failpoint.CHUNKS_DONE)
        with connection.transaction():
            connection.execute(_EMIT, (PREFIX, encode(message)))
            for notice in task.notices:
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, encode_notice(notice)))
        if isinstance(message, State):
            reach(Failpoint.CHUNK_LOW)
        elif isinstance(message, Read):
            reach(Failpoint.CHUNK_HIGH)

    def _open(self, connection: Connection[Any], task: Open) -> Opened:
        # Who writes now is asked first: whoever begins later is shown by the stream.
        table = self._describe(connection, task.job)
        writers = query.writers(connection, table)
        upper = task.job.upper or query.greatest_key(connection, table, task.job.request.where)
        return Opened(task.number, upper, self._covered(task, table), writers)

    def _read(self, connection: Connection[Any], task: ReadChunk) -> None:
        job, until = task.job, time.monotonic() + _PATIENCE_S
        while (snapshot := query.take_snapshot(connection)).running & task.avoid:
            connection.execute("ROLLBACK")
            if time.monotonic() >= until:
                self._answers.put(Later(task.number, snapshot))
                return
            if self._closing.wait(_AGAIN_S):
                raise _ClosedError
        table = self._describe(connection, job)
        assert job.upper is not None
        between = (job.last, job.upper)
        rows, finished = query.read_chunk(connection, table, job.request.where, between, task.boundaries, task.limit)
        connection.execute("COMMIT")
        reach(Failpoint.CHUNK_READ)
        # The answer first: whoever sees the message must find the rows.
        self._answers.put(Chunk(task.number, table, rows, snapshot, finished))
        read = Read(self._session.settings.slot_name, self._life, task.number)
        self._emit(connection, Emit(task.number, read))

    def _describe(self, connection: Connection[Any], job: Job) -> Table:
        """Return the table as it is now: it may have been altered, or dropped and made again, since the last chunk."""
        name = job.request.table
        captured = {table.name for table in self._session.tables}
        published = {table.name: table for table in read_tables(connection, self._session.settings.publication_name)}
        if name not in captured or name not in published:
            raise CdcError(Kind.PUBLICATION, f"{name} is not captured by this engine")
        if not published[name].order:
            raise CdcError(Kind.TABLE_KEY, f"{name} has no unique key to read it by")
        return published[name]

    def _covered(self, task: Open, table: Table) -> dict[int, KeyTexts]:
        session, settings = self._session, self._session.settings
        topic = settings.topic_of(table.name)
        request = task.job.request.id
        search = Search(session.source, frozenset({table.name}), Position(task.job.read_from, 0), request)
        tails = read_tails(
            settings.kafka_bootstrap_servers,
            settings.cdc_kafka_config,
            {topic: session.partitions[topic]},
            search,
            self._go_on,
            settled=False,
        )
        found = ((partition, tail.covered.get(table.name)) for partition, tail in enumerate(tails[topic]))
        return {partition: key for partition, key in found if key is not None}

    def _go_on(self) -> None:
        if self._closing.is_set():
            raise _ClosedError

    def _connected(self) -> Connection[Any]:
        self._go_on()
        if self._connection is None:
            self._connection = connect(self._session.url)
            seconds = int(self._session.settings.cdc_chunk_seconds * 1000)
            self._connection.execute(f"SET statement_timeout = {seconds}")
            self._connection.execute("SET synchronous_commit = local")
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _failed(self, task: Task, error: CdcError) -> Failed:
        text = str(error)
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            seconds = self._session.settings.cdc_chunk_seconds
            text = (
                f"reading a chunk took longer than CDC_CHUNK_SECONDS={seconds:g}: give the condition an index, "
                "end whoever locks the table, or raise the setting"
            )
        return Failed(task.number, text[:1000], isinstance(decide(error.kind), Retry))
