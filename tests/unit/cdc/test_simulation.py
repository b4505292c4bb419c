"""The simulation of the whole loop: the engine keeps its promises in it, and a bug in the engine does not."""

import pytest

from cdc.ledger import Ledger, Span
from cdc.lsn import Lsn, Position
from cdc.positions import Floors, partition_of
from cdc.records import Record
from cdc.simulation.campaign import Tally, run_seeds
from cdc.simulation.schedule import run_schedule
from cdc.simulation.shrink import shrink

ENOUGH = 3000


def test_no_schedule_loses_repeats_or_reorders_a_record() -> None:
    """Through thousands of worlds of crashes and delays every promise holds (CD-110, CD-112)."""
    assert run_seeds(range(ENOUGH)) == Tally(schedules=ENOUGH)


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


def test_a_search_for_the_last_position_that_stops_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that skips nothing repeats what its predecessor had sent."""
    monkeypatch.setattr(Floors, "hold", lambda _floors, _record: False)
    assert run_seeds(range(ENOUGH)).duplicates > 0


def test_a_confirmation_before_the_acknowledgement_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that settles what was only sent lets the server forget what the broker never gets."""
    monkeypatch.setattr(Span, "acknowledge", lambda _span: None)

    def add(ledger: Ledger, _record: Record) -> Span:
        return ledger._spans[-1]

    monkeypatch.setattr(Ledger, "add", add)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_a_confirmation_within_a_transaction_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that takes any acknowledgement for all of them confirms too early."""

    def settle(ledger: Ledger) -> Lsn:
        ledger.confirmed = max(ledger.confirmed, *(span.reached for span in ledger._spans))
        return ledger.confirmed

    monkeypatch.setattr(Ledger, "settle", settle)
    assert run_seeds(range(ENOUGH)).lost > 0


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
