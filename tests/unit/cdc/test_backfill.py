"""The parts of an incremental snapshot, one by one: what a snapshot sees, what holds the WAL, what a message is."""

from collections.abc import Callable

import orjson
import pytest

from cdc.backfill.jobs import Jobs
from cdc.backfill.messages import PREFIX, Cancel, End, Outcome, Request, State, decode, encode
from cdc.backfill.tasks import Emit, Task
from cdc.backfill.window import Recent, Snapshot, Verdict, Window
from cdc.backfill.work import Backfill
from cdc.capture import Capture
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import Keepalive, LogicalMessage, Truncate, Update
from cdc.positions import Floors
from cdc.readback import Search, Tail
from cdc.records import POSITION, SNAPSHOT, SOURCE, UNAVAILABLE, Record, TopicName
from cdc.relay import Pace, Relay
from cdc.tables import TableName

RAW = TopicName("raw")
TABLE = TableName("public", "event_headers")
REQUEST = Request("r1", "s", TABLE)


def test_a_snapshot_sees_what_ended_before_it_also_when_ids_come_round() -> None:
    """Ids in the stream have 32 bits, those of the snapshot 64."""
    snapshot = Snapshot.parse(f"{2**32 + 5}:{2**32 + 9}:{2**32 + 5},{2**32 + 7}")
    assert [xid for xid in (2**32 - 1, 3, 4, 5, 6, 7, 8, 9, 10) if snapshot.sees(xid)] == [2**32 - 1, 3, 4, 6, 8]
    assert Snapshot.parse("7:7:").running == frozenset()
    with pytest.raises(ValueError, match="unpack"):
        Snapshot.parse("7")


def test_transactions_are_remembered_until_a_snapshot_sees_them() -> None:
    """Not longer: what is remembered stays as small as what is under way."""
    recent = Recent()
    recent.shown([5, 6, 7, 12])
    recent.forget(Snapshot(10, frozenset({6})))
    assert recent.frozen() == {6, 12}


def record(key: bytes, *, lacks: bool = False) -> Record:
    """Return a record of the stream."""
    headers: list[tuple[str, str | bytes | None]] = [(UNAVAILABLE, b'["data"]')] if lacks else []
    return Record(RAW, key, b"{}", Position(Lsn(8), 4), headers)


def test_a_row_is_dropped_only_for_a_change_that_its_snapshot_did_not_see() -> None:
    """Of the same table; and read again where the change lacks a value."""
    window, update = Window(), Update(1, None, False, ())
    window.note(20, update, [record(b"unseen")])
    window.note(21, update, [record(b"poor", lacks=True)])
    window.note(5, update, [record(b"seen", lacks=True)])
    snapshot = Snapshot(20, frozenset())
    judged = {key: window.judge(1, key, snapshot) for key in (b"unseen", b"poor", b"seen", b"other")}
    assert judged == {
        b"unseen": Verdict.DROP,
        b"poor": Verdict.READ_AGAIN,
        b"seen": Verdict.SEND,
        b"other": Verdict.SEND,
    }
    assert window.judge(2, b"unseen", snapshot) is Verdict.SEND
    window.note(22, Truncate((1,), cascade=False, restart_identity=False), [])
    assert window.judge(1, b"other", snapshot) is Verdict.DROP


def test_the_wal_is_held_from_the_request_until_the_end() -> None:
    """By the request, then by the newest state that lists it, by a cancellation that no state knows of."""
    jobs = Jobs()
    assert jobs.hold is None
    assert jobs.ask(REQUEST, Lsn(110), Lsn(100))
    assert not jobs.ask(REQUEST, Lsn(130), Lsn(120))
    assert jobs.hold == 100
    state = State("s", "life", 1, jobs.listed())
    jobs.stated(state, Lsn(200))
    assert jobs.hold == 200
    jobs.ask(Request("r2", "s", TABLE), Lsn(260), Lsn(250))
    jobs.stated(state, Lsn(300))
    assert jobs.hold == 250, "no state lists the second request yet"
    jobs.cancel(Cancel("s", "r2"), Lsn(410), Lsn(400))
    jobs.stated(State("s", "life", 2, jobs.listed()), Lsn(500))
    assert jobs.hold == 400, "after a crash the cancellation must be seen again"
    assert jobs.first.job.request.id == "r2"
    jobs.end(End("s", "r2", Outcome.CANCELLED, 0, 0.0))
    assert jobs.hold == 500
    jobs.end(End("s", "r1", Outcome.DONE, 0, 0.0))
    assert jobs.hold is None
    assert not jobs.ask(REQUEST, Lsn(610), Lsn(600)), "a request is done once"


def test_a_table_is_cancelled_for_what_was_asked_before() -> None:
    """Not for what is asked later, and also for what a state lists after the cancellation was read."""
    jobs = Jobs()
    jobs.ask(REQUEST, Lsn(110), Lsn(100))
    listed = jobs.listed()
    jobs = Jobs()
    jobs.cancel(Cancel("s", "public.event_headers"), Lsn(210), Lsn(200))
    jobs.recall(State("s", "before", 1, listed), Lsn(300))
    jobs.ask(Request("r2", "s", TABLE), Lsn(410), Lsn(400))
    assert (jobs.first.job.request.id, jobs.first.cancelled) == ("r1", True)
    jobs.end(End("s", "r1", Outcome.CANCELLED, 0, 0.0))
    assert (jobs.first.job.request.id, jobs.first.cancelled) == ("r2", False)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"kind":"request"}', b'{"kind":"other","slot":"s"}', b"\xff"])
def test_what_is_no_message_of_ours_says_so(content: bytes) -> None:
    """Anybody may write into the WAL under our prefix."""
    with pytest.raises(ValueError, match="not a snapshot message"):
        decode(content)


def test_messages_come_back_as_they_were() -> None:
    """Conditions and names with any characters."""
    request = Request("r", "s", TableName('a"b', "c.d%"), where="x = 'é\n'", replay=True)
    assert decode(encode(request).encode()) == request


class NoReader:
    """A reader that does nothing and keeps the tasks."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def submit(self, task: Task) -> None:
        """Keep the task."""
        self.tasks.append(task)

    def poll(self) -> None:
        """Have no answer."""


def test_nothing_behind_a_request_is_confirmed_and_foreign_ones_hold_nothing(
    list_stream, list_sink, new_capture: Callable[[], Capture]
) -> None:
    """A keepalive far behind the request moves the slot only up to it."""

    def message(slot: str, lsn: int, *, prefix: str = PREFIX, transactional: bool = False) -> LogicalMessage:
        content = encode(Request(f"r{lsn}", slot, TABLE)).encode()
        return LogicalMessage(transactional, Lsn(lsn), prefix, content)

    others = [message("other", 48), message("s", 56, prefix="x"), message("s", 64, transactional=True)]
    stream = list_stream([
        [Keepalive(Lsn(40), reply_requested=False), *others, Keepalive(Lsn(80), reply_requested=False)],
        [message("s", 104), Keepalive(Lsn(1000), reply_requested=True)],
    ])  # fmt: skip
    reader = NoReader()
    backfill = Backfill("s", "life", reader, new_capture(), {RAW: 1})
    relay = Relay(
        stream,
        list_sink(),
        new_capture(),
        confirmed=Lsn(0),
        floors=Floors({RAW: [None]}),
        pace=Pace(wait=0, status=0, report=1e9),
        backfill=backfill,
    )
    relay.step()
    assert (stream.confirmed[-1], reader.tasks) == (80, [])
    relay.step()
    relay.step()
    assert stream.confirmed[-1] == 80
    (task,) = reader.tasks
    assert isinstance(task, Emit)


def test_rows_of_a_request_are_told_from_those_of_others() -> None:
    """By the fourth element of their header; the initial snapshot's rows have none."""

    def headers(*mark: object) -> list[tuple[str, str | bytes | None]]:
        return [(POSITION, b"0/64/4"), (SOURCE, b"7/db"), (SNAPSHOT, orjson.dumps(mark))]

    for request, key in ((None, "initial"), ("r1", "one"), ("r2", "two")):
        search = Search(b"7/db", frozenset({TABLE}), Position(Lsn(0), 0), request)
        tail = Tail()
        search.note(tail, headers("public", "event_headers", ["two"], "r2"))
        search.note(tail, headers("public", "event_headers", ["one"], "r1"))
        search.note(tail, headers("public", "event_headers", ["initial"]))
        assert tail.covered == {TABLE: (key,)}
