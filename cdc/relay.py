"""Owns the loop: events of the stream in, records to the sink out, confirmations back. It does no I/O of its own.

Stream and sink are arguments, so that every order of events, acknowledgements and crashes can be a test with lists.
What the loop promises:
- a record goes to the sink once, in the order of positions, unless its partition already holds it;
- an LSN is confirmed only when Kafka has acknowledged every record before it; with nothing in flight the server's
  keepalives move it on, so that an idle table never holds back WAL;
- the amount in flight is bounded: beyond the limits the loop stops reading, and still answers the server.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from cdc.backfill.work import Backfill
from cdc.capture import Capture
from cdc.failpoints import Failpoint, reach
from cdc.ledger import Ledger, Limits
from cdc.letters.deadletters import DeadLetter, announce
from cdc.lsn import LARGEST_LSN, Lsn, format_lsn
from cdc.pgoutput.messages import Begin, Commit, Event, Keepalive, LogicalMessage, Message
from cdc.ports import Sink, Stream
from cdc.positions import Floors
from cdc.records import Record
from cdc.slots.bookmark import UNKEPT, Keeper
from cdc.watch.observer import UNWATCHED, Observer, Progress

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the loop does what is due by time, in seconds."""

    wait: float = 0.1
    """The longest wait for an event or an acknowledgement; a stop is noticed within it."""
    prompt: float = 0.001
    """The first wait for an event while records are in flight; it doubles until something moves. Acknowledgements are
    taken between the waits, so this bounds how late one is noticed, to about the time that it took."""
    status: float = 1.0
    """Between two confirmations to the server."""
    report: float = 10.0
    """Between two `progress` events in the log."""
    drain: float = 10.0
    """The longest wait for Kafka when told to stop; what it has not acknowledged then comes again."""


class _ArrivedError(Exception):
    """The stream has reached the LSN that the loop was to run to."""


class Relay:
    """One run of the loop over one connection."""

    def __init__(  # noqa: PLR0913  # the loop's whole world, by design
        self,
        stream: Stream,
        sink: Sink,
        capture: Capture,
        *,
        confirmed: Lsn,
        floors: Floors,
        limits: Limits | None = None,
        pace: Pace | None = None,
        observer: Observer = UNWATCHED,
        bookmark: Keeper = UNKEPT,
        backfill: Backfill | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at the LSN that the slot has confirmed, with what the topics already hold.

        `backfill` does the incremental snapshots that the stream's messages ask for; without it nobody does.
        """
        self._stream = stream
        self._sink = sink
        self._capture = capture
        self._ledger = Ledger(confirmed, limits or Limits())
        self._pace = pace or Pace()
        self._observer = observer
        self._bookmark = bookmark
        self._owed: Lsn | None = None
        self._backfill = backfill
        self._clock = clock
        self._floors: Floors | None = floors
        self._open = False
        self._begin: Begin | None = None
        self._wait = self._pace.wait
        self._told: tuple[int, int] = (0, 0)
        self._until = LARGEST_LSN
        self._reply_due = False
        self._held_at: Lsn | None = None
        self._takers: dict[type[Event], Callable[[Any], None]] = {
            Begin: self._enter,
            Commit: self._leave,
            Keepalive: self._heed,
            LogicalMessage: self._hear,
        }
        """What takes an event; what is not there is given to the capture."""
        self._next_status = clock()
        self._next_report = self._next_status + self._pace.report
        self.server_end = confirmed
        """The furthest the server is known to be."""
        self.transactions = self.records = self.skipped = 0

    def run(self, stopping: Callable[[], bool]) -> None:
        """Relay until told to stop, then wait a bounded time for what is in flight and confirm what arrived.

        Raises:
            CdcError: The stream or the sink failed; what was confirmed is safe, the rest comes again.
        """
        while not stopping():
            self.step()
        deadline = self._clock() + self._pace.drain
        if not self.drain(lambda: self._clock() >= deadline):
            _log.warning("stopped_with_records_in_flight", in_flight=self._ledger.in_flight)

    def run_until(self, lsn: Lsn) -> None:
        """Relay what committed before `lsn` and wait until Kafka has it, confirming nothing; raise as `run` does."""
        self._until, self._held_at = lsn, self._ledger.confirmed
        with suppress(_ArrivedError):
            while True:
                self.step()
        self.drain(lambda: False)

    def run_to(self, lsn: Lsn, stopping: Callable[[], bool]) -> bool:
        """Relay and raise as `run`, but only what committed before `lsn`; return whether Kafka has all of that."""
        self._until = lsn
        with suppress(_ArrivedError):
            self.run(stopping)
            return False
        return self.drain(stopping)

    def step(self) -> None:
        """Do one round: read or, at the limits, wait for acknowledgements; then whatever is due."""
        if self._ledger.full:
            self._sink.poll(self._pace.wait)
        else:
            events = self._stream.read(self._wait)
            if events:
                self._observer.heard()
            takers, give = self._takers, self._give
            for event in events:
                takers.get(type(event), give)(event)
            self._sink.poll(0)
        confirmed = self._ledger.settle()
        if self._backfill is not None:
            self._backfill.turn(confirmed)
        self._tell()
        self._do_what_is_due()

    def drain(self, giving_up: Callable[[], bool]) -> bool:
        """Wait until nothing is in flight and confirm what may be; an unfinished transaction comes again.

        Returns:
            Whether Kafka has acknowledged everything; False when `giving_up` said so first.
        """
        while self._ledger.in_flight and not giving_up():
            self._sink.poll(self._pace.wait)
            self._ledger.settle()
            self._do_what_is_due()
        self._ledger.settle()
        self._tell()
        reach(Failpoint.DRAINED)
        self._confirm()
        while self._owed is not None and not giving_up():
            self._sink.poll(self._pace.prompt)
            # Not only looked at: a bookmark whose answer was lost has to be written again.
            self._do_what_is_due()
        return self._ledger.in_flight == 0

    def _enter(self, begin: Begin) -> None:
        if begin.final_lsn >= self._until:
            raise _ArrivedError
        self._open = True
        self._begin = begin
        self._capture.begin(begin)
        if self._backfill is not None and self._backfill.watching:
            self._backfill.begin(begin)

    def _leave(self, commit: Commit) -> None:
        self._open = False
        # What comes between transactions, a message, is of none.
        self._begin = None
        self.transactions += 1
        end = commit.end_lsn
        self._ledger.reach(end)
        self.server_end = max(self.server_end, end)

    def _hear(self, message: LogicalMessage) -> None:
        # Its LSN is where its record ends: at the goal, the whole of it still lies before.
        if not message.transactional and message.lsn > self._until:
            raise _ArrivedError
        for record in self._capture.records(message):
            self._hand_over(record)
        if self._backfill is not None:
            # What was reached before the message lies before its record; its own LSN lies behind that.
            for row in self._backfill.heard(message, self._ledger.reached):
                # Their places are new, so no partition holds them, and they belong to no transaction.
                self._send(row)
        if not message.transactional:
            self._pass(message.lsn)

    def _give(self, event: Message) -> None:
        records = self._capture.records(event)
        for record in records:
            if self._floors is None and self._begin is None:
                self._send(record)
            else:
                self._hand_over(record)
        if self._backfill is not None and self._backfill.watching:
            self._backfill.saw(event, records)

    def _hand_over(self, record: Record) -> None:
        if self._floors is not None:
            if self._floors.passed_by(record):
                # Positions only grow from here on: the search is over for this run.
                self._floors = None
            elif self._floors.hold(record):
                self.skipped += 1
                return
        if self._begin is not None:
            self._observer.handed_over(self._begin.final_lsn, self._begin.committed_us)
            self._begin = None
        self._send(record)

    def _send(self, record: Record) -> None:
        if isinstance(record, DeadLetter):
            announce(record, self._observer.buried)
        self.records += 1
        self._sink.send(record, self._ledger.add(record.size))

    def _heed(self, keepalive: Keepalive) -> None:
        self._reply_due |= keepalive.reply_requested
        self._pass(keepalive.wal_end)

    def _pass(self, lsn: Lsn) -> None:
        """Note that the server has come so far, by its own word or by a message that stands in the log by itself."""
        self.server_end = max(self.server_end, lsn)
        if not self._open:
            # Between transactions everything before the server's position has been sent, and so handed over. Within
            # one the server may be past commits that are still to come.
            if lsn >= self._until:
                raise _ArrivedError
            self._ledger.reach(lsn)

    def _do_what_is_due(self) -> None:
        now = self._clock()
        if self._reply_due or now >= self._next_status:
            self._confirm()
        elif self._owed is not None:
            self._confirm_what_is_owed()
        if now >= self._next_report:
            self._next_report = now + self._pace.report
            self._report()

    def _confirm(self) -> None:
        wanted = self._ledger.confirmed if self._held_at is None else self._held_at
        if self._backfill is not None and (hold := self._backfill.hold) is not None:
            wanted = min(wanted, hold)
        covered = self._bookmark.cover(wanted)
        self._stream.confirm(covered)
        # The bookmark is on its way to Kafka; the rest follows when it is there.
        self._owed = wanted if covered < wanted else None
        self._reply_due = False
        self._next_status = self._clock() + self._pace.status

    def _confirm_what_is_owed(self) -> None:
        if self._owed is not None and self._bookmark.covered() >= self._owed:
            self._stream.confirm(self._owed)
            self._owed = None

    def _tell(self) -> None:
        ledger = self._ledger
        in_flight, full = ledger.in_flight, ledger.full
        stands, self._told = (self.records, in_flight) == self._told, (self.records, in_flight)
        if in_flight == 0:
            self._wait = self._pace.wait
        else:
            self._wait = min(2 * self._wait, self._pace.wait) if stands else self._pace.prompt
        self._observer.moved(
            Progress(ledger.confirmed, self.server_end, self.transactions, self.records, self.skipped, in_flight, full)
        )

    def _report(self) -> None:
        confirmed = self._ledger.confirmed
        _log.info(
            "progress",
            confirmed_lsn=format_lsn(confirmed),
            transactions=self.transactions,
            records=self.records,
            skipped=self.skipped,
            in_flight=self._ledger.in_flight,
            lag_bytes=max(0, self.server_end - confirmed),
        )
