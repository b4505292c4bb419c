"""Owns the simulated day of an idle table beside a busy one: how much WAL its slot holds back, at every moment.

The loop, the asking, the heartbeat's decision and the ledger are the engine's own; server, network and time are not.
No record flows: whatever moves the slot must come from keepalives, from asking for them, or from heartbeats.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from cdc.capture import Capture
from cdc.ledger import Span
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Event, Keepalive, LogicalMessage
from cdc.positions import Floors
from cdc.records import Record, TopicName
from cdc.relay import Pace, Relay
from cdc.slots.vigil import Heartbeat, Silence
from cdc.tables import Route, TableName

_START: Final = 16 * 1024 * 1024
_MESSAGE_BYTES: Final = 80
_NETWORK_S: Final = 0.02
_FLUSH_S: Final = 0.2
"""A message outside of a transaction waits for the WAL writer (`wal_writer_delay`)."""
_LONGEST_LOOK_S: Final = 5.0
_WAIT_S: Final = 0.5
_TOPIC: Final = TopicName("raw")


@dataclass(frozen=True, slots=True)
class Idleness:
    """What the day is like."""

    hours: float = 24.0
    foreign_bytes_per_second: int = 1_000_000
    """WAL of tables that are not captured."""
    speaks_every: float | None = 30.0
    """How often the server sends a keepalive unasked; None for never."""
    answers: bool = True
    """Whether it answers a request for one."""
    heartbeat_seconds: float = 60.0
    asks: bool = True
    """Whether the engine asks a silent server; a test plants the bug that it does not."""


VARIANTS: Final = (Idleness(), Idleness(answers=False), Idleness(speaks_every=None, answers=False))
"""A usual server; one that answers no request; and one from which nothing but changes and messages ever comes."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the day has shown."""

    hours: float
    retained_max_bytes: int
    heartbeat_bytes: int
    """The WAL of one heartbeat interval: what may be retained."""
    heartbeats: int

    @property
    def ok(self) -> bool:
        """Whether the slot never held back more than an interval's worth."""
        return self.retained_max_bytes <= self.heartbeat_bytes


def run_day(given: Idleness) -> Held:
    """Run the loop for so many simulated hours."""
    day = _Day(given)
    relay = Relay(
        day,
        _NoRecords(),
        Capture({TableName("public", "idle"): Route(_TOPIC, ("id",))}, b"7/simulated", clock=lambda: day.now),
        confirmed=Lsn(_START),
        floors=Floors({_TOPIC: [None]}),
        pace=Pace(wait=_WAIT_S, report=1e12),
        clock=lambda: day.now,
    )
    end = given.hours * 3600
    relay.run(lambda: day.now >= end)
    worth = int(given.foreign_bytes_per_second * given.heartbeat_seconds)
    return Held(given.hours, day.retained_max, worth, day.heartbeats)


def run_variants(hours: float) -> Held:
    """Run every variant and return the worst, with the heartbeats of all."""
    days = [run_day(replace(each, hours=hours)) for each in VARIANTS]
    worst = max(days, key=lambda day: day.retained_max_bytes)
    return replace(worst, heartbeats=sum(day.heartbeats for day in days))


class _Day:
    """The server, its one slot, the connection and the guard's looks, by a clock that only reading moves."""

    def __init__(self, given: Idleness) -> None:
        self.now = 0.0
        self.heartbeats = self.retained_max = 0
        self._given = given
        self._confirmed = Lsn(_START)
        # The deadline is beyond the day: a server that is mute for good would be left, which ends the experiment.
        self._silence = Silence(1e9, 5.0 if given.asks else 1e9, 0.0)
        self._heartbeat = Heartbeat(given.heartbeat_seconds)
        self._look_every = self._heartbeat.look_every(_LONGEST_LOOK_S)
        self._next_look = self._look_every
        self._next_word = given.speaks_every
        self._due: deque[tuple[float, Event | None]] = deque()
        """What is on its way, by arrival; None stands for a keepalive, whose position is that of its sending."""

    def read(self, timeout: float) -> list[Event]:
        """Let time pass until something arrives, at most `timeout` seconds, and return what has."""
        until = self.now + timeout
        while True:
            following = min(self._next_look, self._next_word or until, self._due[0][0] if self._due else until)
            if following > until:
                self.now = until
                break
            self.now = max(self.now, following)
            self._happen()
            if (self._due and self._due[0][0] <= self.now) or following >= until:
                break
        events: list[Event] = []
        while self._due and self._due[0][0] <= self.now:
            arrival, event = self._due.popleft()
            events.append(event or Keepalive(self._end(arrival - _NETWORK_S), reply_requested=False))
        self._watch_retained()
        if self._silence.watch(self.now, heard=bool(events)) and self._given.answers:
            self._send(2 * _NETWORK_S, None)
        return events

    def confirm(self, lsn: Lsn) -> None:
        """Let the slot go on; what it held back until then counts first."""
        self._watch_retained()
        self._confirmed = max(self._confirmed, lsn)

    def _happen(self) -> None:
        if self._next_word is not None and self.now >= self._next_word:
            assert self._given.speaks_every is not None
            self._next_word += self._given.speaks_every
            self._send(_NETWORK_S, None)
        if self.now >= self._next_look:
            self._next_look += self._look_every
            end = self._end(self.now)
            if self._heartbeat.due(self.now, self._confirmed, end):
                self.heartbeats += 1
                message = LogicalMessage(False, Lsn(end + _MESSAGE_BYTES), "headwater.heartbeat", b"")
                self._send(_FLUSH_S + _NETWORK_S, message)

    def _send(self, after: float, event: Event | None) -> None:
        self._due.append((self.now + after, event))
        self._due = deque(sorted(self._due, key=lambda each: each[0]))

    def _end(self, at: float) -> Lsn:
        return Lsn(_START + int(at * self._given.foreign_bytes_per_second) + self.heartbeats * _MESSAGE_BYTES)

    def _watch_retained(self) -> None:
        self.retained_max = max(self.retained_max, self._end(self.now) - self._confirmed)


class _NoRecords:
    def send(self, record: Record, span: Span) -> None:
        raise AssertionError(f"an idle table has no record, and here is {record.key!r}, {span}")

    def poll(self, timeout: float) -> None:
        pass
