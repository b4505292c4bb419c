"""Nothing is confirmed that the bookmark does not cover, so a slot beyond its bookmark is somebody else's doing."""

import random
from collections.abc import Callable

import pytest

from cdc.capture import Capture
from cdc.errors import BrokerError, CdcError, Kind
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Event, Keepalive
from cdc.positions import Floors
from cdc.records import TopicName
from cdc.relay import Pace, Relay
from cdc.slots.bookmark import REFRESH_S, UNKEPT, Bookmark, BookmarkKeeper, judge

SOURCE, SLOT = "7/db", "s"
MARK = Bookmark(SOURCE, SLOT, Lsn(100))
READ_BY_7 = Bookmark(SOURCE, SLOT, Lsn(100), 7)


class Write:
    """A write that is answered when the test says so."""

    def __init__(self, bookmark: Bookmark) -> None:
        self.bookmark = bookmark
        self.answered = False
        self.error: BrokerError | None = None

    def done(self) -> bool:
        """Say whether it is answered."""
        return self.answered

    def check(self) -> None:
        """Raise the error, if the answer is one."""
        if self.error is not None:
            raise self.error


class ListShelf:
    """A shelf that keeps every write."""

    def __init__(self) -> None:
        self.writes: list[Write] = []

    def write(self, bookmark: Bookmark) -> Write:
        """Keep a write."""
        self.writes.append(Write(bookmark))
        return self.writes[-1]

    def answer(self, error: BrokerError | None = None) -> None:
        """Answer the last write."""
        self.writes[-1].answered, self.writes[-1].error = True, error

    @property
    def stored(self) -> int:
        """What Kafka has."""
        return max((each.bookmark.lsn for each in self.writes if each.answered and each.error is None), default=0)


def refused(
    *found: Bookmark, confirmed: int, accepted: int | None = None, publication: int | None = None
) -> Kind | None:
    """Return the kind by which a slot is refused, None if it is not."""
    given = None if accepted is None else Lsn(accepted)
    try:
        judge(found, SOURCE, SLOT, Lsn(confirmed), accepted=given, publication=publication)
    except CdcError as error:
        # The setting that would accept it is in the text.
        return error.kind if "CDC_ACCEPT_GAP=0/64 " in str(error) else None
    return None


def test_a_bookmark_survives_its_text() -> None:
    """Whatever else is in the metadata of a group is no bookmark."""
    for mark in (MARK, READ_BY_7):
        assert Bookmark.decode(mark.encode()) == mark
    assert "publication" not in MARK.encode()
    for text in ("", "x", "[]", "{}", '{"source":"a","slot":"b","lsn":"c"}', '{"source":"a","slot":"b","lsn":5}'):
        assert Bookmark.decode(text) is None


def test_a_slot_at_or_behind_its_bookmark_is_ours() -> None:
    """A promoted standby or a crashed server may have an older confirmation; and no bookmark is no fault."""
    assert refused(MARK, confirmed=100) is None
    assert refused(MARK, confirmed=1) is None
    assert refused(confirmed=5) is None


def test_a_slot_beyond_its_bookmark_is_refused() -> None:
    """Unless the operator names exactly this bookmark's LSN."""
    assert refused(MARK, confirmed=101) is Kind.SLOT_RECREATED
    assert refused(MARK, confirmed=101, accepted=99) is Kind.SLOT_RECREATED
    assert refused(MARK, confirmed=101, accepted=100) is None


def test_another_publication_than_the_bookmarks_is_refused() -> None:
    """It was dropped and created again; an older engine noted none, and an old topic may have an older one."""
    assert refused(READ_BY_7, confirmed=100, publication=8) is Kind.PUBLICATION_RECREATED
    assert refused(READ_BY_7, confirmed=101, publication=8) is Kind.SLOT_RECREATED
    assert refused(READ_BY_7, confirmed=100, publication=8, accepted=100) is None
    assert refused(READ_BY_7, confirmed=100, publication=7) is None
    assert refused(READ_BY_7, confirmed=100) is None
    assert refused(MARK, confirmed=100, publication=8) is None
    assert refused(Bookmark(SOURCE, SLOT, Lsn(99), 6), READ_BY_7, confirmed=100, publication=7) is None
    assert refused(READ_BY_7, Bookmark(SOURCE, SLOT, Lsn(100), 8), confirmed=100, publication=8) is None


def test_a_keeper_notes_the_publication() -> None:
    """Also after a gap was accepted: the next start compares with the new one."""
    shelf = ListShelf()
    BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(10), publication=8).cover(Lsn(10))
    assert [write.bookmark.publication for write in shelf.writes] == [8]


@pytest.mark.parametrize("other", [Bookmark("8/db", SLOT, Lsn(100)), Bookmark("7/x", SLOT, Lsn(100))])
def test_the_bookmark_of_another_source_is_refused(other: Bookmark) -> None:
    """Another system identifier or database; beside a bookmark of ours it is only an old one on another topic."""
    assert refused(other, confirmed=1) is Kind.SOURCE_CHANGED
    assert refused(other, confirmed=1, accepted=100) is None
    assert refused(other, MARK, confirmed=100) is None


def test_what_is_not_acknowledged_is_not_covered() -> None:
    """One write at a time; the next has whatever is due by then."""
    shelf = ListShelf()
    keeper = BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(10), clock=lambda: 0.0)
    assert [keeper.cover(Lsn(20)), keeper.cover(Lsn(30))] == [10, 10]
    assert [write.bookmark.lsn for write in shelf.writes] == [20]
    shelf.answer()
    assert (keeper.covered(), keeper.cover(Lsn(30))) == (20, 20)
    shelf.answer()
    assert keeper.cover(Lsn(30)) == 30
    assert len(shelf.writes) == 2


def test_a_failed_write_is_tried_again_and_covers_nothing() -> None:
    """A broker that is away holds confirmations back; that is what safety costs."""
    shelf = ListShelf()
    keeper = BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(10), clock=lambda: 0.0)
    keeper.cover(Lsn(20))
    shelf.answer(BrokerError(Kind.BROKER_UNREACHABLE, "away"))
    assert keeper.cover(Lsn(20)) == 10
    shelf.answer()
    assert keeper.cover(Lsn(20)) == 20


def test_without_the_right_to_a_bookmark_the_engine_confirms_as_before() -> None:
    """The right is missing, so the check is; the stream goes on."""
    shelf = ListShelf()
    keeper = BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(10), clock=lambda: 0.0)
    keeper.cover(Lsn(20))
    shelf.answer(BrokerError(Kind.GROUP_RIGHT, "no"))
    assert [keeper.cover(Lsn(20)), keeper.cover(Lsn(30))] == [20, 30]
    assert len(shelf.writes) == 1
    assert UNKEPT.cover(Lsn(5)) == 5


def test_a_bookmark_that_stands_still_is_refreshed() -> None:
    """Kafka forgets a group of which it hears nothing; and a dead engine's late write is put right."""
    shelf, now = ListShelf(), [0.0]
    keeper = BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(10), clock=lambda: now[0])
    for _ in range(5):
        keeper.cover(Lsn(20))
        shelf.answer()
    assert len(shelf.writes) == 1
    now[0] = REFRESH_S
    keeper.cover(Lsn(20))
    assert len(shelf.writes) == 2


@pytest.mark.parametrize("seed", range(20))
def test_the_loop_never_confirms_beyond_what_kafka_remembers(
    list_stream, list_sink, new_capture: Callable[[], Capture], seed: int
) -> None:
    """In any order of keepalives, answers, failures and requests for a reply; at the end both are at the end."""
    chance, shelf = random.Random(seed), ListShelf()

    class Stream(list_stream):  # type: ignore[misc]
        def confirm(self, lsn: Lsn) -> None:
            assert lsn <= max(shelf.stored, 1)
            super().confirm(lsn)

    end = 0
    batches: list[list[Event]] = []
    for _ in range(200):
        end += chance.randint(0, 9)
        batches.append([Keepalive(Lsn(end), reply_requested=chance.random() < 0.2)] if chance.random() < 0.5 else [])
    stream = Stream([*batches, [Keepalive(Lsn(end + 1), reply_requested=False)]])
    keeper = BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(1))
    floors = Floors({TopicName("raw"): [None]})
    pace = Pace(wait=0, prompt=0, status=0, report=1e9)
    loop = Relay(stream, list_sink(), new_capture(), confirmed=Lsn(1), floors=floors, pace=pace, bookmark=keeper)
    for _ in range(300):
        loop.step()
        if shelf.writes and chance.random() < 0.5:
            failed = chance.random() < 0.3
            if not shelf.writes[-1].answered:
                shelf.answer(BrokerError(Kind.BROKER_UNREACHABLE, "away") if failed else None)
    shelf.answer()
    loop.step()
    shelf.answer()
    loop.run(lambda: True)
    assert stream.confirmed[-1] == shelf.stored == end + 1


def test_a_stop_waits_for_the_bookmark_and_confirms(list_stream, list_sink, new_capture: Callable[[], Capture]) -> None:
    """An orderly stop leaves nothing unconfirmed that Kafka has."""
    shelf = ListShelf()

    class Sink(list_sink):  # type: ignore[misc]
        polls = 0

        def poll(self, timeout: float) -> None:
            self.polls += 1
            if self.polls == 5:
                shelf.answer()

    stream = list_stream([[Keepalive(Lsn(50), reply_requested=False)]])
    keeper = BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(1))
    floors = Floors({TopicName("raw"): [None]})
    pace = Pace(wait=0, status=1e9, report=1e9)
    loop = Relay(stream, Sink(), new_capture(), confirmed=Lsn(1), floors=floors, pace=pace, bookmark=keeper)
    loop.step()
    loop.run(lambda: True)
    assert stream.confirmed == [1, 1, 50]


def test_a_stop_writes_a_bookmark_again_whose_answer_was_lost(
    list_stream, list_sink, new_capture: Callable[[], Capture]
) -> None:
    """Waiting for an answer that will not come would let the slot stand, and the stop last its whole ten seconds."""
    shelf, now = ListShelf(), [0.0]

    class Sink(list_sink):  # type: ignore[misc]
        def poll(self, timeout: float) -> None:
            now[0] += timeout
            if shelf.writes and not shelf.writes[-1].answered:
                shelf.answer(BrokerError(Kind.BROKER_UNREACHABLE, "lost") if len(shelf.writes) == 1 else None)

    stream = list_stream([[Keepalive(Lsn(50), reply_requested=False)]])
    keeper = BookmarkKeeper(shelf, SOURCE, SLOT, Lsn(1), clock=lambda: now[0])
    floors = Floors({TopicName("raw"): [None]})
    loop = Relay(
        stream, Sink(), new_capture(), confirmed=Lsn(1), floors=floors, bookmark=keeper, clock=lambda: now[0]
    )  # fmt: skip
    loop.step()
    loop.run(lambda: True)
    assert stream.confirmed[-1] == 50
    assert len(shelf.writes) == 2
