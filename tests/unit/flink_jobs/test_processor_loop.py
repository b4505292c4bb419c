"""The loop of the processor over lists: every order of aborts, lost sessions and new filters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from flink_jobs import FilterSet
from flink_jobs.processor import router
from flink_jobs.processor.loop import AbortedError, Processor, RefusedError, SessionLostError
from flink_jobs.processor.records import Output, RawRecord
from flink_jobs.processor.router import Outcome, Topics

MakeFilters = Callable[..., FilterSet]
Act = Sequence[RawRecord] | Exception | Callable[[], None]
"""What a round of a session is: records that are committed, a failure of the commit after the next ones, or a deed."""

TOPICS = Topics(raw="raw", dead_letters="dead", suffix="-s")


def raw(offset: int, kind: str = "A") -> RawRecord:
    """Return a record of the raw topic."""
    return RawRecord(0, offset, None, f'{{"id":"{offset}","event_type":"{kind}","__op":"c"}}'.encode(), 0.0)


@dataclass
class Script:
    """A broker that plays what is written for it, one list of acts for each session."""

    sessions: list[list[Act]]
    stop: Event = field(default_factory=Event)
    written: list[tuple[str, bytes | None]] = field(default_factory=list)
    prepared: list[tuple[str, ...]] = field(default_factory=list)
    refused_topics: set[str] = field(default_factory=set)
    opened: int = 0

    @contextmanager
    def open(self) -> "Iterator[Script]":
        """Give the next session; after the last one, stop."""
        self.opened += 1
        self.acts = self.sessions.pop(0) if self.sessions else []
        yield self

    def prepare(self, topics: Sequence[str]) -> None:
        """Remember them, or refuse."""
        if self.refused_topics & set(topics):
            raise SessionLostError("no right to create it")
        self.prepared.append(tuple(topics))

    def gather(self) -> Sequence[RawRecord]:
        """Play the next act."""
        while self.acts and callable(act := self.acts[0]):
            self.acts.pop(0)
            act()
            return ()
        if not self.acts:
            if not self.sessions:
                self.stop.set()
                return ()
            raise SessionLostError("the script says so")
        act = self.acts.pop(0)
        if isinstance(act, Exception):
            self.failing: Exception | None = act
            return (raw(99),)
        self.failing = None
        return act  # type: ignore[return-value]

    def commit(self, taken: Sequence[RawRecord], outputs: Sequence[Output]) -> None:
        """Fail as the script has it, or keep the outputs."""
        if self.failing is not None:
            raise self.failing
        self.written += [(output.topic, output.key) for output in outputs]


@dataclass
class Feed:
    """Filters that a test changes."""

    filters: FilterSet

    def newest(self) -> FilterSet:
        """Return them."""
        return self.filters


@dataclass
class Told:
    """What an observer was told."""

    received: int = 0
    failures: list[str] = field(default_factory=list)
    filters: list[int] = field(default_factory=list)

    def moved(self) -> None:
        """Take nothing from it."""

    def committed(self, outcome: Outcome, taken: Sequence[RawRecord]) -> None:
        """Count."""
        assert outcome.received == len(taken)
        self.received += outcome.received

    def failed(self, kind: str) -> None:
        """Remember."""
        self.failures.append(kind)

    def switched(self, filters: int) -> None:
        """Remember."""
        self.filters.append(filters)


class Quick(Event):
    """An event whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        return self.is_set()


@pytest.fixture
def play(filters: MakeFilters) -> Callable[..., tuple[Script, Told]]:
    """Run a processor through sessions until they are over."""

    def run(*sessions: list[Act], feed: Feed | None = None, **changes: Any) -> tuple[Script, Told]:
        script, told = Script(list(sessions), stop=Quick(), **changes), Told()
        chosen = feed or Feed(filters(targets=["spring"]))
        Processor(script.open, chosen, told, TOPICS, clock=lambda: float(len(script.prepared))).run(script.stop)
        return script, told

    return run


def test_nothing_of_an_aborted_batch_is_written_or_counted(play: Callable[..., tuple[Script, Told]]) -> None:
    """What comes again is counted once, when it holds (FL-60, FL-62)."""
    script, told = play([[raw(0)], AbortedError("rebalance"), [raw(1)]])
    assert script.written == [("filtered-one-s", b"0"), ("filtered-one-s", b"1")]
    assert (told.received, told.failures, script.opened) == (2, ["aborted"], 1)


def test_a_lost_session_is_followed_by_a_new_one_with_its_topics(play: Callable[..., tuple[Script, Told]]) -> None:
    """The loop goes on, and topics are looked after again (FL-60)."""
    script, told = play([[raw(0)], SessionLostError("fenced")], [[raw(1)]])
    assert script.written == [("filtered-one-s", b"0"), ("filtered-one-s", b"1")]
    assert (told.failures, script.prepared) == (["session_lost"], [("filtered-one-s", "dead")] * 2)


def test_many_aborts_in_a_row_end_the_session(play: Callable[..., tuple[Script, Told]]) -> None:
    """A member that is always refused joins anew; aborts with successes between them do not count (FL-60)."""
    abort = AbortedError("generation")
    script, told = play([abort, abort, abort, abort, [raw(0)], abort, abort, abort, abort, abort], [[raw(1)]])
    assert script.opened == 2
    assert told.failures == [*["aborted"] * 9, "session_lost"]


def test_a_refusal_ends_the_processor(play: Callable[..., tuple[Script, Told]]) -> None:
    """No waiting mends a wrong password."""
    with pytest.raises(RefusedError, match="password"):
        play([RefusedError("password")])


def test_new_filters_count_from_the_next_batch_on(
    play: Callable[..., tuple[Script, Told]], filters: MakeFilters
) -> None:
    """They are applied between two transactions, once their topics are there (FL-61)."""
    feed = Feed(filters(targets=["spring"]))
    newer = filters({"field": "event_type", "operator": "equals", "value": "B"}, targets=["spring"], outputTopic="two")

    def change() -> None:
        feed.filters = newer

    script, told = play([[raw(0), raw(1, "B")], change, [raw(2), raw(3, "B")]], feed=feed)
    assert script.written == [("filtered-one-s", b"0"), ("two-s", b"3")]
    assert (script.prepared, told.filters) == ([("filtered-one-s", "dead"), ("two-s", "dead")], [1, 1])


def test_filters_whose_topics_cannot_be_had_wait_and_the_present_ones_go_on(
    play: Callable[..., tuple[Script, Told]], filters: MakeFilters
) -> None:
    """The set is refused and told of, and no record is routed by half of it (FL-61)."""
    feed = Feed(filters(targets=["spring"]))

    def change() -> None:
        feed.filters = filters(targets=["spring"], outputTopic="two")

    script, told = play([[raw(0)], change, [raw(1)]], feed=feed, refused_topics={"two-s"})
    assert script.written == [("filtered-one-s", b"0"), ("filtered-one-s", b"1")]
    assert (told.failures, told.filters) == (["filters_refused"], [1])


def test_a_record_that_a_filter_cannot_be_evaluated_on_is_kept_and_holds_up_no_other(
    play: Callable[..., tuple[Script, Told]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to the dead letters with the reason; what is not to be expected is not lost either (FL-49)."""
    meant = router.evaluate

    def evaluate(one: Any, record: Any) -> Any:
        if record["id"] == "1":
            raise ArithmeticError("not foreseen")
        return meant(one, record)

    monkeypatch.setattr(router, "evaluate", evaluate)
    script, told = play([[raw(0), raw(1), raw(2)]])
    assert script.written == [("filtered-one-s", b"0"), ("dead", None), ("filtered-one-s", b"2")]
    assert told.received == 3


def test_only_enabled_filters_for_spring_have_a_part(
    play: Callable[..., tuple[Script, Told]], filters: MakeFilters
) -> None:
    """One for Flink alone, one that is disabled and one that is gone route nothing (FL-32)."""
    for changes in ({}, {"targets": ["spring"], "enabled": False}, {"targets": ["spring"], "status": "deleted"}):
        script, told = play([[raw(0)]], feed=Feed(filters(**changes)))
        assert (script.written, told.filters) == ([], [0])
