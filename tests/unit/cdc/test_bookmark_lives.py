"""Life after life with crashes anywhere: a recreated slot is always noticed, and no other is ever refused."""

import random

import pytest

from cdc.errors import BrokerError, CdcError, Kind
from cdc.lsn import Lsn
from cdc.slots.bookmark import Bookmark, BookmarkKeeper, judge

SOURCE, SLOT = "7/db", "s"


class Write:
    """A write on its way, and what became of it."""

    def __init__(self, bookmark: Bookmark) -> None:
        self.bookmark = bookmark
        self.outcome: BrokerError | str | None = "pending"

    def done(self) -> bool:
        """Say whether it was answered."""
        return self.outcome != "pending"

    def check(self) -> None:
        """Raise what it was answered with."""
        if isinstance(self.outcome, BrokerError):
            raise self.outcome


class World:
    """A server with one slot, Kafka with one bookmark, and chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.end = self.confirmed = self.saved = Lsn(100)
        self.kept: Bookmark | None = None
        self.under_way: list[Write] = []

    def write(self, bookmark: Bookmark) -> Write:
        """Take a write; it arrives some time."""
        self.under_way.append(Write(bookmark))
        return self.under_way[-1]

    def arrive(self) -> None:
        """Store what is under way, and answer, unless the answer or the request is lost."""
        while self.under_way and self.chance.random() < 0.6:
            write = self.under_way.pop(0)
            fate = self.chance.random()
            if fate > 0.1:
                self.kept = write.bookmark
            write.outcome = None if fate > 0.2 else BrokerError(Kind.BROKER_UNREACHABLE, "lost")

    def live(self) -> None:
        """Run one engine until it is killed."""
        judge(() if self.kept is None else (self.kept,), SOURCE, SLOT, self.confirmed)
        keeper = BookmarkKeeper(self, SOURCE, SLOT, self.confirmed, clock=lambda: 0.0)
        reached = self.confirmed
        for _ in range(self.chance.randint(1, 30)):
            self.end = Lsn(self.end + self.chance.randint(0, 50))
            if self.chance.random() < 0.7:
                reached = self.end
            self.arrive()
            self.confirmed = max(self.confirmed, keeper.cover(reached))
            if self.chance.random() < 0.3:
                self.saved = self.confirmed
        # What a killed engine had under way arrives before its successor asks, or never.
        while self.under_way:
            self.arrive()

    def crash(self) -> None:
        """Take back what the slot had not saved."""
        self.confirmed = min(self.saved, self.confirmed)

    def recreate(self) -> bool:
        """Drop the slot and create it at the end of the log; return whether that leaves a gap."""
        self.end = Lsn(self.end + self.chance.randint(0, 50))
        gap = self.kept is not None and self.end > self.kept.lsn
        self.confirmed = self.saved = self.end
        return gap


@pytest.mark.parametrize("seed", range(0, 300, 100))
def test_nothing_but_a_gap_is_refused_and_every_gap_is(seed: int) -> None:
    """Three hundred histories of lost requests, lost answers, crashes of engine and server, and recreations."""
    gaps = 0
    for number in range(seed, seed + 100):
        world = World(number)
        for _ in range(world.chance.randint(1, 8)):
            world.live()
            if world.chance.random() < 0.3:
                world.crash()
        if world.kept is None or world.chance.random() < 0.5:
            continue
        if world.recreate():
            gaps += 1
            with pytest.raises(CdcError) as caught:
                world.live()
            assert caught.value.kind is Kind.SLOT_RECREATED
        else:
            world.live()
    assert gaps > 10


def test_a_keeper_that_covers_at_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: confirming without waiting for Kafka makes an engine refuse its own slot."""
    monkeypatch.setattr(BookmarkKeeper, "covered", lambda _keeper: Lsn(10**9))

    def many_lives() -> None:
        for number in range(100):
            world = World(number)
            for _ in range(8):
                world.live()

    with pytest.raises(CdcError):
        many_lives()
