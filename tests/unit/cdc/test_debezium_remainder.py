"""What a successor would repeat, and how far the slot may be confirmed in Debezium's stead."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.debezium.remainder import Change, Progress, Settlement, Transaction, overlap, settle
from cdc.errors import CdcError
from cdc.lsn import STEPS, Lsn, Position


def transaction(xid: int, *lsns: int, commit: int) -> Transaction:
    """Return a transaction whose commit is eight bytes long."""
    return Transaction(Lsn(commit), Lsn(commit + 8), tuple(Change(Lsn(lsn), xid) for lsn in lsns))


def progress(lsn: int, xid: int | None, commit: int) -> Progress:
    """Return how far Debezium came."""
    return Progress(Lsn(lsn), xid, Lsn(commit), snapshot=False)


# Two transactions at the same time: the changes of the second lie before the commit of the first.
HELD = (transaction(7, 100, 120, commit=130), transaction(8, 110, 140, commit=150), transaction(9, 160, commit=170))


@pytest.mark.parametrize(
    ("seen", "settlement"),
    [
        (progress(90, 6, 98), Settlement(Lsn(98), 0)),
        (progress(100, 7, 98), Settlement(Lsn(98), 1)),
        (progress(120, 7, 98), Settlement(Lsn(138), 0)),
        (progress(110, 8, 138), Settlement(Lsn(138), 1)),
        (progress(140, 8, 138), Settlement(Lsn(158), 0)),
        (progress(178, None, 178), Settlement(Lsn(178), 0)),
    ],
    ids=["nothing", "within the first", "whole first", "within the second", "whole second", "after a commit"],
)
def test_the_slot_is_confirmed_up_to_the_last_transaction_that_was_sent_whole(
    seen: Progress, settlement: Settlement
) -> None:
    """Only what is cut off in the middle is repeated, and it is counted."""
    assert settle(HELD, seen, Lsn(98)) == settlement


def test_rows_that_share_an_lsn_leave_a_doubt_and_are_repeated() -> None:
    """A COPY writes many rows at one LSN; the last of them may not have been the one that Debezium saw."""
    copy = transaction(7, 100, 110, 110, 110, commit=130)
    assert settle([copy], progress(110, 7, 98), Lsn(98)) == Settlement(Lsn(98), 4)


def test_the_slot_is_never_moved_back() -> None:
    """Whoever confirmed more than Debezium stored had Kafka's word for it."""
    assert settle(HELD, progress(100, 7, 98), Lsn(138)).confirmed == Lsn(138)


@given(st.integers(1, 5), st.data())
def test_no_change_that_was_not_sent_is_ever_confirmed(count: int, data: st.DataObject) -> None:
    """Whatever Debezium came to: the confirmed LSN lies before the end of every transaction with an unsent change."""
    held, lsn = [], 100
    for xid in range(count):
        lsns = [lsn := lsn + data.draw(st.integers(0, 2)) for _ in range(data.draw(st.integers(1, 4)))]
        held.append(transaction(xid, *lsns, commit=(lsn := lsn + 1)))
        lsn += 8
    sent = data.draw(st.integers(0, sum(len(each.changes) for each in held)))
    order = [(each, change) for each in held for change in each.changes]
    ends = [each.end for each, last in zip(held, _lasts(held), strict=True) if last < sent]
    commit = max(ends, default=Lsn(99))
    seen = (
        progress(99, None, 99)
        if sent == 0
        else Progress(order[sent - 1][1].lsn, order[sent - 1][1].xid, commit, snapshot=False)
    )
    unsent = [each.end for each, _change in order[sent:]]
    found = settle(held, seen, Lsn(99))
    assert found.confirmed < min(unsent, default=Lsn(2**63))
    assert found.repeated >= sum(1 for each, _change in order[:sent] if each.end > found.confirmed)


def _lasts(held: list[Transaction]) -> list[int]:
    total = 0
    return [total := total + len(each.changes) for each in held]


@pytest.mark.parametrize(
    ("last", "repeated"),
    [
        (Position(Lsn(130), 0), 1),
        (Position(Lsn(130), STEPS), 2),
        (Position(Lsn(150), 0), 3),
        (Position(Lsn(170), 0), 5),
        (Position(Lsn(120), 0), 0),
    ],
)
def test_what_our_own_engine_sent_and_did_not_confirm_is_counted(last: Position, repeated: int) -> None:
    """A change is repeated when its position is not beyond the last one in the topic."""
    assert overlap(HELD, last) == repeated


def test_an_offset_is_read_in_debeziums_words() -> None:
    """As Connect 4.3.0 with Debezium 3.7.0 stored it; LSNs are plain numbers."""
    offset = {"lsn_proc": 28365256, "messageType": "UPDATE", "lsn_commit": 28365200, "lsn": 28365256, "txId": 766}
    found = Progress.of(offset)
    assert found == progress(28365256, 766, 28365200)
    assert found.reached == 28365256
    assert Progress.of({}) is None


@pytest.mark.parametrize(
    ("given_", "unfinished"),
    [({}, False), ({"snapshot": "INITIAL"}, True), ({"snapshot": "INITIAL", "last_snapshot_record": True}, False)],
)
def test_an_offset_within_the_snapshot_is_told_apart(given_: dict[str, Any], unfinished: bool) -> None:
    """Our engine would not read the rest of the rows, so the change of engines has to wait."""
    found = Progress.of({"lsn": 1, **given_})
    assert found is not None
    assert found.snapshot is unfinished


def test_an_offset_of_another_form_is_refused() -> None:
    """A guess here could lose changes."""
    with pytest.raises(CdcError, match="no LSN"):
        Progress.of({"position": 1})
