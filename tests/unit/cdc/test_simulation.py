"""The simulation of the whole loop: the engine keeps its promises in it, and a bug in the engine does not."""

from collections.abc import Callable, Iterable

import pytest
from confluent_kafka import TopicPartition

from cdc import readback
from cdc.assembly import Assembly
from cdc.capture import Capture
from cdc.ledger import Ledger, Span
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import Event, Keepalive, Relation, StreamAbort, StreamCommit
from cdc.positions import Floors, partition_of
from cdc.readback import Reader, Search, Tail
from cdc.records import Record, TopicName
from cdc.relay import Relay
from cdc.simulation import schedule
from cdc.simulation.campaign import Tally, run_seeds
from cdc.simulation.schedule import run_schedule
from cdc.simulation.shrink import shrink
from cdc.spool import Spool

ENOUGH = 3000
FOUND = (1677923028,)
"""Seeds that CI found: a letter whose first parts arrive late, and then its last."""


def test_no_schedule_loses_repeats_or_reorders_a_record() -> None:
    """Through thousands of worlds of crashes and delays every promise holds (CD-110, CD-112)."""
    assert run_seeds(range(ENOUGH)) == Tally(schedules=ENOUGH)


@pytest.mark.parametrize("seed", FOUND)
def test_what_once_broke_a_promise_keeps_it(seed: int) -> None:
    """A schedule that a random run found stays in the suite."""
    assert run_schedule(seed).verdict.good


def test_a_seed_is_one_schedule() -> None:
    """The same seed, and the choices it made, give the same schedule to the last line."""
    for seed in range(50):
        first = run_schedule(seed, traced=True)
        assert run_schedule(seed, traced=True) == first
        assert run_schedule(first.choices, traced=True) == first


def test_a_position_without_its_ordinal_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions compared as LSNs alone lose the rest of a transaction that was cut in its middle."""

    def hold(floors: Floors, record: Record) -> bool:
        partitions = floors._topics[record.topic]
        floor = partitions[partition_of(record.key, len(partitions))]
        return floor is not None and record.position.lsn <= floor.lsn

    monkeypatch.setattr(Floors, "hold", hold)
    monkeypatch.setattr(Floors, "passed_by", lambda floors, record: record.position.lsn > (floors._highest or (0,))[0])
    found = run_seeds(range(ENOUGH))
    assert found.lost > 0
    assert found.duplicates == found.reordered == found.failures == 0


def test_one_floor_for_all_partitions_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last position of one partition says nothing about another: what was under way there is lost."""

    def hold(floors: Floors, record: Record) -> bool:
        return floors._highest is not None and record.position <= floors._highest

    monkeypatch.setattr(Floors, "hold", hold)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_a_keepalive_within_a_transaction_taken_for_its_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may speak of places behind commits that it has not sent yet."""

    def heed(relay: Relay, keepalive: Keepalive) -> None:
        relay._ledger.reach(keepalive.wal_end)

    monkeypatch.setattr(Relay, "_heed", heed)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_ends_that_are_looked_at_once_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead engine had under way comes while its successor looks; looking once repeats it."""

    def tails_at_once(
        reader: Reader, partitions: dict[TopicName, int], search: Search, waiting: Callable[[], None]
    ) -> dict[TopicName, list[Tail]]:
        ends = readback._ends(reader, [TopicPartition(t, n) for t, count in partitions.items() for n in range(count)])
        tails = readback._read_back(reader, ends, search, waiting)
        return {topic: [tails[topic, number] for number in range(count)] for topic, count in partitions.items()}

    monkeypatch.setattr(schedule, "tails_at_rest", tails_at_once)
    assert run_seeds(range(ENOUGH)).duplicates > 0


def test_records_of_others_taken_for_an_end_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last own position is to be looked for behind whatever somebody else wrote."""
    real = Search.note
    monkeypatch.setattr(Search, "note", lambda search, tail, headers: bool(headers) and real(search, tail, headers))
    assert run_seeds(range(ENOUGH)).duplicates > 0


def test_an_engine_that_skips_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It repeats what its predecessor had sent."""
    monkeypatch.setattr(Floors, "hold", lambda _floors, _record: False)
    assert run_seeds(range(ENOUGH)).duplicates > 0


def test_a_confirmation_before_the_acknowledgement_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that settles what was only sent lets the server forget what the broker never gets."""
    monkeypatch.setattr(Span, "acknowledge", lambda _span: None)

    def add(ledger: Ledger, _record: Record) -> Span:
        return ledger._spans[-1]

    monkeypatch.setattr(Ledger, "add", add)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_a_confirmation_behind_any_acknowledgement_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that takes any acknowledgement for all of them confirms too early."""

    def settle(ledger: Ledger) -> Lsn:
        ledger.confirmed = max(ledger.confirmed, *(span.reached for span in ledger._spans))
        return ledger.confirmed

    monkeypatch.setattr(Ledger, "settle", settle)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_savepoints_that_are_rolled_back_but_kept_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was never committed must never arrive."""
    monkeypatch.setattr(Spool, "cut", lambda _spool, _xid: None)
    assert run_seeds(range(ENOUGH)).duplicates > 0


def test_savepoints_that_are_rolled_back_but_counted_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A position must not depend on whether the server streamed the transaction, for it may do so only once."""
    real = Spool.cut

    def cut(spool: Spool, xid: int) -> None:
        real(spool, xid)
        # A change of a table that nobody asked for: it gives no record, only an ordinal.
        spool.append(spool.xid, ord("I"), b"\0\0\0\3N\0\0")

    monkeypatch.setattr(Spool, "cut", cut)
    monkeypatch.setattr(Capture, "_describe", _always_knowing_the_ignored(Capture._describe))
    found = run_seeds(range(ENOUGH))
    assert found.lost + found.duplicates > 0
    assert found.failures == 0


def _always_knowing_the_ignored(real: Callable[[Capture, Relation], None]) -> Callable[[Capture, Relation], None]:
    def describe(capture: Capture, relation: Relation) -> None:
        real(capture, relation)
        capture._encoders.setdefault(3, None)

    return describe


def test_transactions_that_are_rolled_back_but_handed_on_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort taken for a commit."""

    def abort(assembly: Assembly, event: StreamAbort) -> Iterable[Event]:
        return assembly._stream_commit(StreamCommit(event.xid, Lsn(8), Lsn(16), 0)) if event.xid == event.subxid else ()

    monkeypatch.setattr(Assembly, "_stream_abort", abort)
    found = run_seeds(range(ENOUGH))
    assert found.duplicates + found.lost + found.failures > 0


def test_an_engine_that_never_confirms_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that stands still is a failure too, although every record arrives once."""
    monkeypatch.setattr(Ledger, "settle", lambda ledger: ledger.confirmed)
    assert run_seeds(range(ENOUGH)).failures == 1


def test_an_engine_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of the engine's own is a finding with its text, not the end of the simulation."""

    def encode(_position: Position) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(Position, "encode", encode)
    found = run_seeds(range(ENOUGH))
    assert found.failures == 1
    assert "ZeroDivisionError" in (run_schedule(found.seeds[0]).verdict.failure or "")


def test_a_failing_schedule_shrinks_to_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left fails as well, is a fraction of the seed's, and its trace names the wrong step."""
    monkeypatch.setattr(Floors, "hold", lambda _floors, _record: False)
    (seed,) = run_seeds(range(ENOUGH)).seeds
    whole = run_schedule(seed, traced=True)
    small = run_schedule(shrink(whole.choices, lambda choices: not run_schedule(choices).verdict.good), traced=True)
    assert small.verdict.duplicates > 0
    assert len(small.trace) < min(40, len(whole.trace))
    assert len(small.choices) < len(whole.choices)


def test_shrinking_leaves_the_least() -> None:
    """Each choice that is left is needed, and as small as it can be."""

    def fails(choices: list[int]) -> bool:
        large = [index for index, choice in enumerate(choices) if choice >= 5]
        return any(choice == 3 for choice in choices[large[0] :]) if large else False

    assert shrink([1, 9, 0, 7, 7, 1, 0, 3, 2], fails) == [5, 3]
    assert shrink([4, 4, 4], lambda _choices: True) == []
