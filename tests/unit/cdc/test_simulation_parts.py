"""What the simulation adds to plain transactions: every part of it is there, and a bug planted in it is found."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from cdc.capture import Capture
from cdc.letters.deadletters import Letters
from cdc.lsn import LARGEST_LSN, STEPS, Lsn, Position
from cdc.pgoutput.messages import LogicalMessage
from cdc.positions import Floors, partition_of
from cdc.records import POSITION, Record
from cdc.relay import Relay
from cdc.simulation import bookmarks
from cdc.simulation.campaign import Tally, run_seeds
from cdc.simulation.due import DEAD
from cdc.simulation.schedule import run_schedule
from cdc.slots.bookmark import BookmarkKeeper
from cdc.spool import Spool

ENOUGH = 3000


@pytest.fixture(scope="module")
def happened() -> Counter[str]:
    """Return in how many of some hundred schedules something happened, by a word of their traces."""
    counts: Counter[str] = Counter()
    for seed in range(600):
        text = "\n".join(run_schedule(seed, traced=True).trace)
        counts.update(word for word in WORDS if word in text)
    return counts


WORDS = (
    "stored in dead-",
    "part b'1/2'",
    "part b'4/4'",
    "__truncated",
    "stored in outbox-",
    "received message",
    "bookmark stored",
    "the bookmark of a dead engine arrives late",
    "somebody else puts the slot",
    "the slot is refused",
    "what was streamed is unclear",
)


@pytest.mark.parametrize("word", WORDS)
def test_schedules_hold_what_they_promise(happened: Counter[str], word: str) -> None:
    """Nothing is proven by what never happens."""
    assert happened[word] >= 3


def test_a_confirmation_beyond_the_bookmark_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next engine would refuse its own slot."""
    monkeypatch.setattr(BookmarkKeeper, "covered", lambda _keeper: LARGEST_LSN)
    found = run_seeds(range(ENOUGH))
    assert found.failures == 1
    assert "refused without a gap" in (run_schedule(found.seeds[0]).verdict.failure or "")


def test_a_gap_that_is_not_noticed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that somebody created anew is no idle table's."""
    monkeypatch.setattr(bookmarks, "judge", lambda *_, **__: None)
    found = run_seeds(range(ENOUGH))
    assert found.failures == 1
    assert "not noticed" in (run_schedule(found.seeds[0]).verdict.failure or "")


def test_a_bookmark_ahead_of_what_kafka_has_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hide a gap: what was read and not acknowledged is covered by no bookmark."""
    real = BookmarkKeeper.cover

    def confirm(relay: Relay) -> None:
        relay._bookmark.cover(relay._ledger.reached)
        relay._confirm_as_it_should()  # type: ignore[attr-defined]

    def cover(keeper: BookmarkKeeper, lsn: Lsn) -> Lsn:
        return real(keeper, lsn)

    monkeypatch.setattr(Relay, "_confirm_as_it_should", Relay._confirm, raising=False)
    monkeypatch.setattr(Relay, "_confirm", confirm)
    monkeypatch.setattr(BookmarkKeeper, "cover", cover)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_a_letter_with_its_position_on_the_first_part_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off behind that part it would count as there."""
    real = Letters._cut

    def cut(letters: Letters, letter: Any) -> list[Record]:
        parts = real(letters, letter)
        if len(parts) > 1:
            parts[0].headers.insert(0, (POSITION, parts[0].position.encode()))
            parts[-1].headers[:] = [header for header in parts[-1].headers if header[0] != POSITION]
        return parts

    monkeypatch.setattr(Letters, "_cut", cut)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_letters_that_no_floor_holds_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter is sent once, as a record is."""
    real = Floors.hold
    monkeypatch.setattr(Floors, "hold", lambda floors, record: record.topic != DEAD and real(floors, record))
    assert run_seeds(range(ENOUGH)).duplicates > 0


def test_a_change_that_loses_its_letter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no record can hold is not to be passed over."""

    def nothing(*_: object) -> Sequence[Record]:
        return ()

    monkeypatch.setattr(Letters, "unencodable", nothing)
    assert run_seeds(range(ENOUGH)).lost > 0


def test_a_truncation_that_is_looked_up_by_its_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record is in every partition, and each has a floor of its own."""

    def hold(floors: Floors, record: Record) -> bool:
        partitions = floors._topics[record.topic]
        floor = partitions[partition_of(record.key, len(partitions))]
        return floor is not None and record.position <= floor

    monkeypatch.setattr(Floors, "hold", hold)
    found = run_seeds(range(ENOUGH))
    assert found.lost + found.duplicates > 0


def told(position: Position, capture: Capture, message: LogicalMessage, real: Any) -> Iterable[Record]:
    """Return the records of a message outside of any transaction at another position."""
    records = []
    for record in real(capture, message):
        headers = [(POSITION, position.encode()), *record.headers[1:]]
        records.append(Record(record.topic, record.key, record.value, position, headers))
    return records


def test_a_message_without_a_place_of_its_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its record ends a commit may begin: with the ordinal of a first change they are one position."""
    real = Capture._told

    def tell(capture: Capture, message: LogicalMessage) -> Iterable[Record]:
        if message.transactional:
            return real(capture, message)
        return told(Position(message.lsn, STEPS), capture, message, real)

    monkeypatch.setattr(Capture, "_told", tell)
    assert run_seeds(range(3 * ENOUGH)).lost > 0


def test_messages_of_savepoints_that_are_rolled_back_but_kept_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks nobody can tell them from others: such a transaction has to be asked for whole."""
    monkeypatch.setattr(Spool, "unclear", False)
    assert run_seeds(range(ENOUGH)).duplicates > 0


def test_a_message_at_the_place_of_the_last_transaction_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its own LSN it may be anywhere: on the next connection there is no last transaction."""
    real = Capture._told

    def tell(capture: Capture, message: LogicalMessage) -> Iterable[Record]:
        if message.transactional:
            return real(capture, message)
        capture._change += 1
        return told(Position(capture._lsn, capture._change * STEPS), capture, message, real)

    monkeypatch.setattr(Capture, "_told", tell)
    found = run_seeds(range(ENOUGH))
    assert found != Tally(schedules=ENOUGH)
    assert found.lost + found.duplicates > 0
