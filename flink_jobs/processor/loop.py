"""Owns the order of work: read a batch, route it, commit outputs and offsets as one, then look for new filters.

It takes its session with Kafka, its filters and its observer as arguments, so that every order of failures is a test
with lists. Nothing is counted before it is committed. Must never know a client of Kafka.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from threading import Event
from typing import Final, Protocol

import structlog

from flink_jobs.filters import FilterSet
from flink_jobs.processor.records import Output, RawRecord
from flink_jobs.processor.router import Outcome, Router, Topics

_log: Final = structlog.get_logger(__name__)

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0
_MOST_ABORTS: Final = 5
"""After so many in a row the session is given up: a fresh one knows its place in the group anew."""


class AbortedError(Exception):
    """Say that the transaction was taken back, and that the session reads the same records again."""


class SessionLostError(Exception):
    """Say that a session is of no further use; a new one goes on from what the group has committed."""


class RefusedError(Exception):
    """Say what the operator has to change, because no waiting mends it."""


class Session(Protocol):
    """A member of the group, with a transactional producer."""

    def prepare(self, topics: Sequence[str]) -> None:
        """Create those topics that are missing.

        Raises:
            SessionLostError: They cannot be created.
        """

    def gather(self) -> Sequence[RawRecord]:
        """Return the next records, none if there are none for a moment."""

    def commit(self, taken: Sequence[RawRecord], outputs: Sequence[Output]) -> None:
        """Write the outputs, and that these records are done, as one transaction.

        Raises:
            AbortedError: Nothing of it holds; `gather` gives the records again, or whoever has their partition does.
            SessionLostError: Whether it holds is not known here; the group's offsets tell.
        """


class Feed(Protocol):
    """Where filters come from while the processor runs."""

    def newest(self) -> FilterSet:
        """Return the last good set; the very same object for as long as there is no other."""


class Observer(Protocol):
    """What is told about the work."""

    def moved(self) -> None:
        """Take that the loop went round with a session that works."""

    def committed(self, outcome: Outcome, taken: Sequence[RawRecord]) -> None:
        """Take a batch that holds."""

    def failed(self, kind: str) -> None:
        """Take a failure that was survived: `aborted`, `session_lost` or `filters_refused`."""

    def switched(self, filters: int) -> None:
        """Take the number of filters now at work."""


class Processor:
    """Run until told to stop.

    Args:
        open_session: Gives a session for the length of a block.
        feed: Where filters come from.
        observer: Who is told.
        topics: The names to read and write.
        clock: Seconds, from any start.
    """

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[Session]],
        feed: Feed,
        observer: Observer,
        topics: Topics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_session
        self._feed = feed
        self._observer = observer
        self._topics = topics
        self._clock = clock
        self._router = Router(feed.newest(), topics)
        self._refused_until = clock()
        self._aborts = 0
        self._losses = 0

    def run(self, stop: Event) -> None:
        """Process until `stop` is set; what was begun by then is committed or taken back.

        Raises:
            RefusedError: The broker refuses this client for good.
        """
        self._observer.switched(len(self._router.active))
        while not stop.is_set():
            try:
                with self._open() as session:
                    session.prepare(self._router.topics)
                    self._serve(session, stop)
            except SessionLostError as error:
                self._losses += 1
                self._observer.failed("session_lost")
                _log.warning("session_lost", reason=str(error), times=self._losses)
                stop.wait(_pause(self._losses))

    def _serve(self, session: Session, stop: Event) -> None:
        self._aborts = 0
        while not stop.is_set():
            self._switch(session)
            taken = session.gather()
            self._observer.moved()
            if not taken:
                continue
            outcome = self._router.outcome(taken)
            try:
                session.commit(taken, outcome.outputs)
            except AbortedError as error:
                self._aborts += 1
                self._observer.failed("aborted")
                _log.warning("transaction_aborted", reason=str(error), records=len(taken), times=self._aborts)
                if self._aborts == _MOST_ABORTS:
                    raise SessionLostError(f"{self._aborts} transactions in a row were aborted: {error}") from error
                stop.wait(_pause(self._aborts))
                continue
            self._aborts = self._losses = 0
            self._observer.committed(outcome, taken)

    def _switch(self, session: Session) -> None:
        """Go on with newer filters, once every topic they write to is there; else with the present ones."""
        filters = self._feed.newest()
        if filters is self._router.filters or self._clock() < self._refused_until:
            return
        router = Router(filters, self._topics)
        try:
            session.prepare(router.topics)
        except SessionLostError as error:
            self._refused_until = self._clock() + _LONGEST_PAUSE_S
            self._observer.failed("filters_refused")
            _log.warning("filters_refused", reason=str(error), remedy="create the topics; the filters wait for them")
            return
        self._router = router
        self._observer.switched(len(router.active))
        _log.info("filters_switched", filters=[each.id for each in router.active], version=filters.version)


def _pause(times: int) -> float:
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * float(2 ** min(times - 1, 10)))
