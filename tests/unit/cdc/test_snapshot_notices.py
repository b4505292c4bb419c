"""A request that several shards were asked for stands as all of them together, and ends with the last."""

import pytest

from cdc.backfill.command import together
from cdc.backfill.messages import Notice, Outcome

SLOTS = ("s_g1_0of2", "s_g1_1of2")


def told(slot: str, outcome: Outcome, rows: int = 5, error: str | None = None) -> Notice:
    """Return a notice of a shard."""
    return Notice(slot, "r1", outcome, rows, rows / 10, error)


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ((Outcome.DONE, Outcome.DONE), Outcome.DONE),
        ((Outcome.DONE, Outcome.RUNNING), Outcome.RUNNING),
        ((Outcome.DONE, None), Outcome.RUNNING),
        ((Outcome.WAITING, Outcome.DONE), Outcome.WAITING),
        ((Outcome.DONE, Outcome.CANCELLED), Outcome.CANCELLED),
        ((Outcome.CANCELLED, Outcome.FAILED), Outcome.FAILED),
        ((Outcome.FAILED, Outcome.RUNNING), Outcome.RUNNING),
    ],
)
def test_a_request_ends_with_its_last_shard(outcomes: tuple[Outcome, Outcome | None], whole: Outcome) -> None:
    """Done only if all are; the rows are the sum, the time is the longest."""
    heard = {
        slot: told(slot, each, 5 * (n + 1)) for n, (slot, each) in enumerate(zip(SLOTS, outcomes, strict=True)) if each
    }
    found = together(SLOTS, heard)
    assert (found.outcome, found.rows) == (whole, sum(notice.rows for notice in heard.values()))
    assert found.seconds == max(notice.seconds for notice in heard.values())


def test_one_slot_stands_as_it_says() -> None:
    """Without shards nothing is added and nothing lost."""
    notice = told("s", Outcome.FAILED, error="no index")
    assert together(("s",), {"s": notice}) == notice
