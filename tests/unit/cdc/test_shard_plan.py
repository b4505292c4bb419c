"""The slots alone say what comes next in a change of shards, and what no such change leaves is refused."""

from collections.abc import Iterable
from itertools import combinations

import pytest

from cdc.errors import CdcError, Kind
from cdc.lsn import Lsn
from cdc.shards.names import WHOLE, WHOLE_GENERATION, Generation, Part
from cdc.shards.plan import Align, Birth, Copy, Drop, Renew, Run, Settle, SlotSeen, Step, plan

AT = Lsn(0x100)
TWO, THREE, BACK = Generation(1, 2), Generation(2, 3), Generation(3, 1)


def slots(parts: Iterable[Part], confirmed: int | None = AT) -> list[SlotSeen]:
    """Return slots that have confirmed an LSN."""
    return [SlotSeen(part, None if confirmed is None else Lsn(confirmed)) for part in parts]


def step(seen: list[SlotSeen], shards: int, *, fits: bool = True, renews: bool = False) -> Step:
    """Return the next step."""
    return plan(seen, shards, lambda _: fits, renews=renews)


def test_without_a_slot_the_whole_is_born() -> None:
    """Whatever number is wanted: the snapshot is the whole's."""
    assert step([], 1) == step([], 4) == Birth()


def test_a_whole_generation_runs_or_is_changed() -> None:
    """Another number, or publications that are no more what the settings say, make a new generation."""
    whole, two = slots([WHOLE]), slots(TWO.parts)
    assert step(whole, 1) == Run(WHOLE_GENERATION)
    assert step(whole, 3) == Align(WHOLE_GENERATION, Generation(1, 3))
    assert step(two, 2) == Run(TWO)
    assert step(two, 3) == Align(TWO, THREE)
    assert step(two, 2, fits=False) == Align(TWO, Generation(2, 2))
    assert step(two, 1) == Align(TWO, Generation(2, 1))


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_a_change_that_was_begun_is_finished_first(shards: int) -> None:
    """In the direction that the generations' numbers say, also by an engine that wants another number."""
    old, new = slots(TWO.parts, 0x80), slots(THREE.parts)
    assert step(old + new[:1], shards) == Copy(TWO, THREE, THREE.parts[1:], AT)
    assert step(old + new[1:], shards) == Copy(TWO, THREE, THREE.parts[:1], AT)
    assert step(old + new, shards) == Drop(THREE, TWO.parts, AT)
    assert step(old[1:] + new, shards) == Drop(THREE, TWO.parts[1:], AT)
    whole = slots([WHOLE])
    assert step([*whole, *slots(TWO.parts)[:1]], shards) == Copy(WHOLE_GENERATION, TWO, TWO.parts[1:], AT)
    assert step(whole + slots(TWO.parts), shards) == Drop(TWO, (WHOLE,), AT)


def test_the_way_back_to_the_whole_goes_over_one_that_nobody_reads() -> None:
    """So the whole and another generation are never in doubt about which comes first."""
    last = slots(BACK.parts)
    assert step(slots(THREE.parts) + last, 1) == Drop(BACK, THREE.parts, AT)
    assert step(last, 1) == step(last, 3) == Settle(BACK.parts[0], made=False, at=AT)
    assert step(last + slots([WHOLE]), 1) == Settle(BACK.parts[0], made=True, at=AT)


def test_generations_that_come_round_keep_their_order() -> None:
    """The last number is followed by the first."""
    last, first = Generation(9999, 2), Generation(1, 3)
    assert step(slots(last.parts) + slots(first.parts), 3) == Drop(first, last.parts, AT)


TORN = {
    "a shard is lost": slots(TWO.parts)[:1],
    "both are in part": slots(TWO.parts)[:1] + slots(THREE.parts)[:2],
    "three": slots([WHOLE]) + slots(TWO.parts) + slots(THREE.parts),
    "no successor": slots(TWO.parts) + slots(BACK.parts),
    "the old one was moved": slots(TWO.parts, AT + 8) + slots(THREE.parts),
    "the new one was moved": slots(TWO.parts) + slots(THREE.parts[:2]) + slots(THREE.parts[2:], AT + 8),
}


@pytest.mark.parametrize("seen", list(TORN.values()), ids=list(TORN))
def test_what_no_change_leaves_is_refused_or_renewed(seen: list[SlotSeen]) -> None:
    """Somebody has dropped or moved slots: only a new snapshot makes the topic whole, and only if it may be taken."""
    with pytest.raises(CdcError) as caught:
        step(seen, 2)
    assert caught.value.kind is Kind.SHARDS
    assert step(seen, 2, renews=True) == Renew(tuple(each.part for each in seen))


def test_a_slot_that_somebody_is_creating_is_waited_for() -> None:
    """It says nothing yet, and nothing is dropped for it."""
    for seen in (slots([WHOLE], None), slots(TWO.parts[:1], None) + slots([WHOLE])):
        with pytest.raises(CdcError) as caught:
            step(seen, 2, renews=True)
        assert caught.value.kind is Kind.SLOT_ACTIVE


def test_no_step_is_chosen_by_what_the_settings_want_while_two_generations_exist() -> None:
    """Two engines with different numbers finish the same change, whatever is left of it."""
    for size in range(1, 4):
        for news in combinations(THREE.parts, size):
            seen = slots(TWO.parts, 0x80) + slots(news)
            assert len({step(seen, shards) for shards in range(1, 6)}) == 1
