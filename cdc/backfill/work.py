"""Owns the course of the jobs: from a request over its chunks to its end. Sans I/O; the loop drives it.

One chunk is: write a `State` (low watermark), see it in the stream, let the reader take a snapshot, read and write
`Read` (high watermark), see that in the stream, hand the rows over at its place, wait until Kafka has them all. Only
then is the next `State` written. So every state in the WAL is true of Kafka, and a crash repeats one chunk at most, of
which each partition skips what it holds: rows reach a partition in the order of their keys.

A session begins with a `Mark`. When the stream shows it, everything that earlier lives have written has been seen.

Why no row is older than what the stream has shown, and none is missed: see `cdc.backfill.window`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, unique
from typing import Final

import structlog

from cdc.backfill.course import Course
from cdc.backfill.jobs import Entry, Jobs
from cdc.backfill.messages import PREFIX, Cancel, End, Mark, Notice, Outcome, Read, Request, State, decode
from cdc.backfill.tasks import Answer, Chunk, Emit, Failed, Later, Open, Opened, Reader
from cdc.backfill.window import Recent
from cdc.capture import Capture
from cdc.errors import CdcError
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Begin, LogicalMessage, Message
from cdc.records import Record, TopicName
from cdc.watch.observer import UNWATCHED, Observer

_log: Final = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0
_REPORT_S: Final = 10.0


@unique
class _Stage(Enum):
    IDLE, MARKING, OPENING, STATING, READING, DELIVERING, ENDING, PAUSED = range(8)


class Backfill:
    """Do the jobs of one engine, one after the other, for as long as its session lives."""

    def __init__(
        self,
        slot: str,
        life: str,
        reader: Reader,
        capture: Capture,
        partitions: Mapping[TopicName, int],
        *,
        observer: Observer = UNWATCHED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without any job: those of earlier lives come by the stream.

        Args:
            slot: Requests for the engines of other slots are none of ours.
            life: The name of this life, never used before.
            reader: Reads the database.
            capture: Makes the records.
            partitions: How many each topic has.
            observer: Told of rows and jobs.
            clock: Seconds.
        """
        self._slot, self._life = slot, life
        self._reader = reader
        self._capture = capture
        self._partitions = partitions
        self._observer = observer
        self._clock = clock
        self._jobs = Jobs()
        self._recent = Recent()
        self._stage = _Stage.IDLE
        self._marked = False
        self._xid = 0
        self._number = 0
        self._current: Entry | None = None
        """The job at work, in every stage but the idle and the marking one."""
        self._opened: tuple[str, Course] | None = None
        self._waiting = False
        self._delivered_at = Lsn(0)
        self._resume_at = self._next_report = 0.0
        self._turned = clock()

    @property
    def hold(self) -> Lsn | None:
        """The LSN beyond which the server must not forget; None when there is no job."""
        return self._jobs.hold

    @property
    def watching(self) -> bool:
        """Whether transactions and changes are to be shown to `begin` and `saw`."""
        return len(self._jobs) > 0

    def begin(self, begin: Begin) -> None:
        """Note that the stream shows a transaction."""
        self._xid = begin.xid
        self._recent.shown((begin.xid,))

    def saw(self, message: Message, records: Sequence[Record]) -> None:
        """Note a message of the transaction that the stream shows, and the records that it became."""
        if self._opened is not None:
            self._opened[1].saw(self._xid, message, records)

    def heard(self, message: LogicalMessage, since: Lsn) -> list[Record]:
        """Take in a message that the stream shows outside of transactions.

        Args:
            message: The message; the server gives it the LSN of its record's *end*.
            since: An LSN not beyond the record's beginning: confirmed up to there, the message is sent again.

        Returns:
            The records that stand at its place; they are to be handed over before anything that follows.
        """
        if message.transactional or message.prefix != PREFIX:
            return []
        try:
            told = decode(message.content)
        except ValueError as error:
            _log.warning("snapshot_message_ignored", lsn=message.lsn, detail=str(error))
            return []
        if told.slot != self._slot:
            return []
        if isinstance(told, Request):
            if self._jobs.ask(told, message.lsn, since):
                _log.info("snapshot_requested", request=told.id, table=str(told.table), where=told.where)
                self._observer.backfilled(len(self._jobs), 0)
        elif isinstance(told, Cancel):
            self._jobs.cancel(told, message.lsn, since)
        elif isinstance(told, End):
            self._over(told)
        elif told.life == self._life:
            return self._own(told, message.lsn, since)
        elif isinstance(told, State) and not self._marked:
            self._jobs.recall(told, since)
            self._observer.backfilled(len(self._jobs), 0)
        return []

    def turn(self, confirmed: Lsn) -> None:
        """Do what can be done now; `confirmed` is the LSN before which Kafka has every record. Never waits."""
        while (answer := self._reader.poll()) is not None:
            self._take(answer)
        now = self._clock()
        if self._stage is _Stage.DELIVERING and confirmed >= self._delivered_at:
            self._delivered(now)
        paused = self._stage is _Stage.PAUSED and now >= self._resume_at
        if paused or (self._stage is _Stage.IDLE and len(self._jobs) > 0):
            self._next()

    def _own(self, told: Mark | State | Read, lsn: Lsn, since: Lsn) -> list[Record]:
        if isinstance(told, Mark):
            self._marked = True
            if self._stage is _Stage.MARKING:
                self._next()
        elif isinstance(told, State):
            self._jobs.stated(told, since)
            if self._stage is _Stage.STATING and told.number == self._number:
                self._stage = _Stage.READING
                task = self._course.open_window(told.number, self._at_work.job, self._recent.frozen())
                self._reader.submit(task)
        else:
            # The rows were put there before the message was written.
            while (answer := self._reader.poll()) is not None:
                self._take(answer)
            if self._stage is _Stage.READING and told.number == self._number:
                return self._hand_over(lsn)
        return []

    @property
    def _at_work(self) -> Entry:
        assert self._current is not None
        return self._current

    @property
    def _course(self) -> Course:
        assert self._opened is not None
        return self._opened[1]

    def _take(self, answer: Answer) -> None:
        if answer.number != self._number:
            return
        if isinstance(answer, Opened):
            self._begin_work(answer)
        elif isinstance(answer, Chunk):
            self._recent.forget(answer.snapshot)
            self._waiting = False
            self._course.took(answer)
        elif isinstance(answer, Later):
            self._recent.forget(answer.snapshot)
            if not self._waiting:
                _log.info("snapshot_waits", request=self._at_work.job.request.id, reason="older writers are running")
            self._waiting = True
            self._next()
        elif isinstance(answer, Failed):
            if answer.passing:
                _log.warning("snapshot_pauses", error=answer.error)
                self._stage, self._resume_at = _Stage.PAUSED, self._clock() + _PAUSE_S
            else:
                self._finish(Outcome.FAILED, answer.error)

    def _next(self) -> None:
        """Begin whatever comes next: mark this life, end, open or state a job."""
        self._number += 1
        self._stage = _Stage.IDLE
        if self._opened is not None:
            self._opened[1].abandon()
        if len(self._jobs) == 0:
            return
        if not self._marked:
            self._stage = _Stage.MARKING
            self._emit(Mark(self._slot, self._life))
            return
        entry = self._current = self._jobs.first
        if entry.cancelled:
            self._finish(Outcome.CANCELLED)
        elif self._opened is None or self._opened[0] != entry.job.request.id:
            self._stage, self._opened = _Stage.OPENING, None
            self._reader.submit(Open(self._number, entry.job))
        else:
            self._stage = _Stage.STATING
            self._emit(State(self._slot, self._life, self._number, self._jobs.listed()))

    def _begin_work(self, opened: Opened) -> None:
        entry = self._at_work
        request = entry.job.request
        self._opened = (request.id, Course(opened))
        self._recent.shown(opened.writers)
        self._turned = self._clock()
        entry.job = replace(entry.job, upper=opened.upper)
        _log.info(
            "snapshot_job", request=request.id, table=str(request.table), after=entry.job.last, rows=entry.job.rows
        )
        if opened.upper is None:
            self._finish(Outcome.DONE)
        else:
            self._next()

    def _hand_over(self, lsn: Lsn) -> list[Record]:
        """Return the records of the chunk, at the place of its high watermark."""
        try:
            records = self._course.close_window(self._capture, lsn, self._at_work.job.request, self._partitions)
        except CdcError as error:
            self._finish(Outcome.FAILED, str(error))
            return []
        if records is None:
            self._next()
            return []
        self._stage = _Stage.DELIVERING
        self._delivered_at = lsn
        return records

    def _delivered(self, now: float) -> None:
        entry = self._at_work
        entry.job, sent = self._course.delivered(entry.job, self._delivered_at, now - self._turned)
        self._turned = now
        self._observer.backfilled(len(self._jobs), sent)
        if now >= self._next_report:
            self._next_report = now + _REPORT_S
            request = entry.job.request
            _log.info("snapshot_progress", request=request.id, table=str(request.table), rows=entry.job.rows)
        if self._course.finished and not entry.cancelled:
            self._finish(Outcome.DONE)
        else:
            self._next()

    def _finish(self, outcome: Outcome, error: str | None = None) -> None:
        self._number += 1
        self._stage = _Stage.ENDING
        job = self._at_work.job
        self._emit(End(self._slot, job.request.id, outcome, job.rows, round(job.seconds, 3), error))

    def _over(self, end: End) -> None:
        self._jobs.end(end)
        self._observer.backfilled(len(self._jobs), 0)
        say = _log.error if end.outcome is Outcome.FAILED else _log.info
        say("snapshot_ended", request=end.request, outcome=end.outcome.value, rows=end.rows, error=end.error)
        if self._opened is not None and self._opened[0] == end.request:
            self._opened = None
        if self._stage is _Stage.ENDING and self._at_work.job.request.id == end.request:
            self._next()
        if len(self._jobs) == 0:
            self._recent = Recent()

    def _emit(self, message: Mark | State | End) -> None:
        at_work = None if self._opened is None else self._opened[0]
        notices = self._jobs.notices(at_work, Outcome.WAITING if self._waiting else Outcome.RUNNING)
        if isinstance(message, End):
            over = Notice(self._slot, message.request, message.outcome, message.rows, message.seconds, message.error)
            notices = [*(each for each in notices if each.request != message.request), over]
        self._reader.submit(Emit(self._number, message, tuple(notices)))
