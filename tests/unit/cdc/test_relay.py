"""The loop hands over, confirms and answers as it promises, event by event."""

from collections.abc import Callable

import pytest

from cdc.capture import Capture
from cdc.errors import BrokerError, DatabaseError, Kind
from cdc.ledger import Limits
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import Begin, Commit, Event, Insert, Keepalive, LogicalMessage, Relation
from cdc.ports import Sink, Stream
from cdc.positions import Floors
from cdc.records import TopicName
from cdc.relay import Pace, Relay

RAW = TopicName("raw")
EMPTY = Floors({RAW: [None]})
NEVER = Pace(wait=0, status=1e9, report=1e9)
ALWAYS = Pace(wait=0, status=0, report=1e9)


def transaction(relation: Relation, lsn: int, *ids: str) -> list[Event]:
    """Return a transaction that inserts rows; its commit record is eight bytes long."""
    inserts: list[Event] = [Insert(relation.oid, (each, "x", None, None, None, "{}")) for each in ids]
    return [Begin(Lsn(lsn), 0, 1), relation, *inserts, Commit(Lsn(lsn), Lsn(lsn + 8), 0)]


class Loop:
    """A relay over lists, with what the tests ask it most."""

    def __init__(self, stream: Stream, sink: Sink, capture: Capture, **options: object) -> None:
        given = {"confirmed": Lsn(0), "floors": EMPTY, "pace": NEVER, **options}
        self.relay = Relay(stream, sink, capture, **given)  # type: ignore[arg-type]

    def steps(self, count: int) -> None:
        """Run some rounds."""
        for _ in range(count):
            self.relay.step()


def test_a_commit_is_confirmed_after_its_last_acknowledgement(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """Neither reading the commit nor a part of its acknowledgements confirms it."""
    stream, sink = list_stream([transaction(headers_relation, 8, "a", "b")]), list_sink(prompt=False)
    loop = Loop(stream, sink, new_capture(), pace=ALWAYS)
    loop.steps(1)
    sink.acknowledge(1)
    loop.steps(1)
    assert set(stream.confirmed) == {0}
    sink.acknowledge(0)
    loop.steps(1)
    assert stream.confirmed[-1] == 16


def test_acknowledgements_out_of_order_confirm_in_order(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """A later commit that is stored first waits for the earlier one."""
    batches = [transaction(headers_relation, 8, *map(str, range(300))), transaction(headers_relation, 24, "z")]
    stream, sink = list_stream(batches), list_sink(prompt=False)
    loop = Loop(stream, sink, new_capture(), pace=ALWAYS)
    loop.steps(2)
    sink.acknowledge(*range(1, 301))
    loop.steps(1)
    assert set(stream.confirmed) == {0}
    sink.acknowledge(0)
    loop.steps(1)
    assert stream.confirmed[-1] == 32


def test_an_idle_table_moves_the_slot_on(list_stream, list_sink, new_capture: Callable[[], Capture]) -> None:
    """With nothing in flight the server's position is confirmed, so that WAL of other tables is let go (CD-11)."""
    stream = list_stream([[Keepalive(Lsn(1000), reply_requested=False)]])
    Loop(stream, list_sink(), new_capture(), pace=ALWAYS).steps(1)
    assert stream.confirmed == [1000]


def test_a_message_outside_of_transactions_moves_the_slot_on(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """A heartbeat stands in the log behind every commit that was sent; one within a transaction says nothing."""
    begin, relation, insert, commit = transaction(headers_relation, 8, "a")
    within = LogicalMessage(True, Lsn(500), "x", b"")
    outside = LogicalMessage(False, Lsn(1000), "headwater.heartbeat", b"")
    stream, sink = list_stream([[begin, relation, insert, within, commit], [outside]]), list_sink(prompt=False)
    loop = Loop(stream, sink, new_capture(), pace=ALWAYS)
    loop.steps(2)
    assert set(stream.confirmed) == {0}
    sink.acknowledge(0)
    loop.steps(1)
    assert stream.confirmed[-1] == 1000


def test_a_keepalive_waits_for_what_is_in_flight(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """The server's position lies behind records that Kafka does not have yet."""
    stream = list_stream([[*transaction(headers_relation, 8, "a"), Keepalive(Lsn(1000), reply_requested=True)]])
    sink = list_sink(prompt=False)
    loop = Loop(stream, sink, new_capture())
    loop.steps(1)
    assert stream.confirmed == [0]
    sink.acknowledge(0)
    loop.relay.drain(lambda: False)
    assert stream.confirmed[-1] == 1000


def test_a_keepalive_within_a_transaction_confirms_nothing(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """While a long transaction is sent the server may already stand behind its commit."""
    begin, relation, insert, commit = transaction(headers_relation, 8, "a")
    stream = list_stream([[begin, relation, insert, Keepalive(Lsn(1000), reply_requested=False)], [commit]])
    loop = Loop(stream, list_sink(), new_capture(), pace=ALWAYS)
    loop.steps(1)
    assert stream.confirmed[-1] == 0
    loop.steps(1)
    assert stream.confirmed[-1] == 16


def test_a_reply_is_given_at_once(list_stream, list_sink, new_capture: Callable[[], Capture]) -> None:
    """The server asks before it gives up; waiting for the next status could be too late."""
    asked = [Keepalive(Lsn(5), reply_requested=True)]
    not_asked = [Keepalive(Lsn(6), reply_requested=False)]
    stream = list_stream([asked, not_asked])
    loop = Loop(stream, list_sink(), new_capture())
    loop.steps(1)
    assert stream.confirmed == [5]
    loop.steps(1)
    assert stream.confirmed == [5]


def test_beyond_the_limits_nothing_is_read_and_the_server_is_answered(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """Kafka away for minutes: bounded memory, and a connection that stays (CD-114)."""
    batches = [transaction(headers_relation, 8, "a", "b"), transaction(headers_relation, 24, "c")]
    stream, sink = list_stream(batches), list_sink(prompt=False)
    loop = Loop(stream, sink, new_capture(), pace=ALWAYS, limits=Limits(records=2))
    loop.steps(5)
    assert len(sink.sent) == 2
    assert stream.confirmed == [0] * 5
    sink.acknowledge(0, 1)
    loop.steps(2)
    assert len(sink.sent) == 3


def test_what_a_partition_holds_is_skipped_and_confirmed(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """After a restart the middle of a transaction is where it goes on."""
    stream, sink = list_stream([transaction(headers_relation, 8, "a", "b", "c")]), list_sink()
    floors = Floors({RAW: [Position(Lsn(8), 8)]})
    loop = Loop(stream, sink, new_capture(), floors=floors, pace=ALWAYS)
    loop.steps(1)
    assert [record.key for record in sink.sent] == [b'{"id":"c"}']
    assert loop.relay.skipped == 2
    assert stream.confirmed[-1] == 16


def test_acknowledgements_are_noticed_promptly_and_an_absent_broker_costs_nothing(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """With records in flight the waits begin short and double up to the usual one; with none there is one long wait."""
    waits: list[float] = []

    class Stream(list_stream):  # type: ignore[misc]
        def read(self, timeout: float) -> list[Event]:
            waits.append(timeout)
            return list(super().read(timeout))

    sink = list_sink(prompt=False)
    stream = Stream([[], transaction(headers_relation, 8, "a")])
    loop = Loop(stream, sink, new_capture(), pace=Pace(wait=0.1, prompt=0.02, status=1e9, report=1e9))
    loop.steps(6)
    assert waits == [0.1, 0.1, 0.02, 0.04, 0.08, 0.1]
    sink.acknowledge(0)
    loop.steps(2)
    assert waits[6:] == [0.1, 0.1]


def test_a_stop_waits_for_kafka_and_confirms(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """SIGTERM: flush, confirm, end."""
    stream, sink = list_stream([transaction(headers_relation, 8, "a")]), list_sink(prompt=False)
    loop = Loop(stream, sink, new_capture())
    loop.steps(1)
    sink.prompt = True
    loop.relay.run(lambda: True)
    assert stream.confirmed[-1] == 16


def test_a_stop_does_not_wait_for_ever(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """With Kafka away the process still ends; what is not stored is not confirmed."""
    stream, sink = list_stream([transaction(headers_relation, 8, "a")]), list_sink(prompt=False)
    now = iter(range(1000))
    loop = Loop(stream, sink, new_capture(), clock=lambda: next(now))
    loop.steps(1)
    loop.relay.run(lambda: True)
    assert set(stream.confirmed) == {0}


def test_run_until_takes_what_committed_before_and_confirms_nothing(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation
) -> None:
    """A snapshot's catch-up ends exactly at its consistent point, and the slot stays where it was."""
    batches = [
        transaction(headers_relation, 8, "a"),
        [*transaction(headers_relation, 24, "b"), *transaction(headers_relation, 40, "c")],
    ]
    stream, sink = list_stream(batches), list_sink()
    Loop(stream, sink, new_capture(), pace=ALWAYS, confirmed=Lsn(4)).relay.run_until(Lsn(40))
    assert [record.key for record in sink.sent] == [b'{"id":"a"}', b'{"id":"b"}']
    assert set(stream.confirmed) == {4}


def test_run_until_ends_at_a_keepalive_when_nothing_else_comes(
    list_stream, list_sink, new_capture: Callable[[], Capture]
) -> None:
    """An idle database reaches the consistent point by the server's word alone."""
    stream = list_stream([[Keepalive(Lsn(39), reply_requested=False)], [Keepalive(Lsn(40), reply_requested=False)]])
    Loop(stream, list_sink(), new_capture()).relay.run_until(Lsn(40))
    assert stream.exhausted


@pytest.mark.parametrize("error", [DatabaseError(Kind.CONNECTION_LOST, "gone"), BrokerError(Kind.TOPIC, "gone")])
def test_an_error_leaves_the_loop_as_it_is(
    list_stream, list_sink, new_capture: Callable[[], Capture], headers_relation: Relation, error: Exception
) -> None:
    """The loop decides nothing about errors, and confirms nothing on its way out."""
    stream = list_stream([transaction(headers_relation, 8, "a"), [error]])
    with pytest.raises(type(error)):
        Loop(stream, list_sink(prompt=False), new_capture()).relay.run(lambda: False)
    assert set(stream.confirmed) == {0}
