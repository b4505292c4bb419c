"""Any crash in the snapshot, any number of times: no row lost, repeated or out of order. A simulation with lists.

Crashes of the loop alone, and far more of what can go wrong in it, are `cdc.simulation`'s. Here the server sends every
transaction that is not confirmed, from its beginning. The broker appends, in each partition, a prefix of what it was
sent, and its acknowledgements may be lost. A crash comes between any two of these.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.bootstrap import InsertWatch
from cdc.capture import Capture
from cdc.catalog import Table
from cdc.ledger import Limits, Span
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import Begin, Commit, Delete, Event, Insert, Keepalive, Message, Relation, Update
from cdc.positions import Floors, partition_of
from cdc.readback import Search, Tail
from cdc.records import Record, TopicName
from cdc.relay import Pace, Relay
from cdc.snapshot import Earlier, SnapshotCopy
from cdc.tables import Route, TableName

RAW = TopicName("raw")
TABLE = TableName("public", "event_headers")
ROUTES = {TABLE: Route(RAW, ("id",))}
SOURCE = b"7/db"
PARTITIONS = 3
RELATION_OID = 16401


class CrashError(Exception):
    """The process is gone."""


@dataclass
class Fate:
    """When the process crashes: after so many more steps of the world; None never."""

    random: Random
    steps: int | None

    def step(self) -> None:
        """Let one thing happen."""
        if self.steps is not None:
            if self.steps == 0:
                raise CrashError
            self.steps -= 1


@dataclass
class Broker:
    """The topic: what it stores outlives every crash."""

    partitions: list[list[Record]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])

    def tails(self, tables: frozenset[TableName] = frozenset(), snapshot_from: Position | None = None) -> list[Tail]:
        """Read back the ends, as the engine does."""
        tails = [Tail() for _ in self.partitions]
        search = Search(SOURCE, tables, snapshot_from)
        for tail, records in zip(tails, self.partitions, strict=True):
            for record in reversed(records):
                if not search.note(tail, dict(record.headers)):
                    break
        return tails

    def floors(self) -> Floors:
        """Return the last position of each partition."""
        return Floors({RAW: [tail.position for tail in self.tails()]})


class Producer:
    """One process's way to the broker: a queue for each partition, stored in order, acknowledged after that."""

    def __init__(self, broker: Broker, fate: Fate) -> None:
        self._broker = broker
        self._fate = fate
        self._queues: list[deque[tuple[Record, Span]]] = [deque() for _ in range(PARTITIONS)]
        self._stored: list[Span] = []

    def send(self, record: Record, span: Span) -> None:
        """Queue a record for the partition of its key."""
        self._fate.step()
        self._queues[partition_of(record.key, PARTITIONS)].append((record, span))

    def poll(self, timeout: float) -> None:
        """Store some of what is queued and acknowledge some of what is stored, in any order across partitions."""
        self._fate.step()
        random = self._fate.random
        self.store_some()
        random.shuffle(self._stored)
        for _ in range(random.randint(0, len(self._stored))):
            self._stored.pop().acknowledge()

    def store_some(self) -> None:
        """Append a prefix of each queue, as also happens after the process's death with what was under way."""
        for number, queue in enumerate(self._queues):
            for _ in range(self._fate.random.randint(0, len(queue))):
                record, span = queue.popleft()
                self._broker.partitions[number].append(record)
                self._stored.append(span)


@dataclass
class Server:
    """The database: transactions, and slots by name with what each has confirmed."""

    transactions: list[tuple[Lsn, list[Message]]]
    relation: Relation
    slots: dict[str, Lsn]
    rows_at_birth: dict[str, str] = field(default_factory=dict)
    """The rows at the point of the snapshot's first slot."""

    @property
    def end(self) -> Lsn:
        """The end of the write-ahead log."""
        return Lsn(self.transactions[-1][0] + 8) if self.transactions else Lsn(8)


class Stream:
    """A connection that streams from a slot: whole transactions from the confirmed point on, in odd batches."""

    def __init__(self, server: Server, slot: str, fate: Fate) -> None:
        self._server, self._slot, self._fate = server, slot, fate
        confirmed = server.slots[slot]
        events: list[Event] = []
        for lsn, changes in server.transactions:
            if lsn >= confirmed:
                whole: list[Event] = [server.relation, *changes]
                if fate.random.random() < 0.3:
                    # Within a long transaction the server may speak of a position behind its commit.
                    at = fate.random.randint(0, len(whole))
                    whole.insert(at, Keepalive(Lsn(lsn + 8), reply_requested=True))
                events += [Begin(lsn, 0, 1), *whole, Commit(lsn, Lsn(lsn + 8), 0)]
                if fate.random.random() < 0.3:
                    events.append(Keepalive(Lsn(lsn + 8), reply_requested=fate.random.random() < 0.5))
        self._events = deque([*events, Keepalive(server.end, reply_requested=True)])

    def read(self, timeout: float) -> Sequence[Event]:
        """Return some of the next events."""
        self._fate.step()
        count = self._fate.random.randint(0, min(5, len(self._events)))
        return [self._events.popleft() for _ in range(count)]

    def confirm(self, lsn: Lsn) -> None:
        """Let the server forget, unless the confirmation is lost on its way."""
        self._fate.step()
        if self._fate.random.random() < 0.7:
            self._server.slots[self._slot] = max(self._server.slots[self._slot], lsn)


def row(key: str, text: str) -> tuple[str | None, ...]:
    """Return a row of `event_headers`."""
    return (key, text, None, None, None, "{}")


def history(random: Random, first_lsn: int, rows: dict[str, str], transactions: int) -> list[tuple[Lsn, list[Message]]]:
    """Make transactions up, changing `rows` along."""
    made = []
    lsn = first_lsn
    for number in range(transactions):
        changes: list[Message] = []
        for part in range(random.randint(0, 4)):
            key, text = f"k{random.randrange(8)}", f"{number}.{part}"
            if key not in rows:
                changes.append(Insert(RELATION_OID, row(key, text)))
                rows[key] = text
            elif random.random() < 0.4:
                changes.append(Delete(RELATION_OID, (key, None, None, None, None, None), old_is_key=True))
                del rows[key]
            else:
                changes.append(Update(RELATION_OID, None, False, row(key, text)))
                rows[key] = text
        lsn += 8 * random.randint(2, 5)
        made.append((Lsn(lsn), changes))
    return made


def relay_of(server: Server, slot: str, capture: Capture, producer: Producer, fate: Fate, floors: Floors) -> Relay:
    """Put a loop together as the engine does."""
    stream = Stream(server, slot, fate)
    limits = Limits(records=fate.random.choice([1, 3, 1000]))
    pace = Pace(wait=0, status=0, report=1e9)
    confirmed = server.slots[slot]
    return Relay(stream, producer, capture, confirmed=confirmed, floors=floors, limits=limits, pace=pace)


def stream_to_the_end(server: Server, broker: Broker, random: Random) -> None:
    """Run process after process, each crashing somewhere, until one has confirmed everything."""
    for life in range(200):
        fate = Fate(random, random.randint(0, 60) if life < 12 else None)
        producer = Producer(broker, fate)
        try:
            relay = relay_of(server, "s", Capture(ROUTES, SOURCE), producer, fate, broker.floors())
            relay.run(lambda: server.slots["s"] >= server.end)
        except CrashError:
            producer.store_some()
            continue
        return
    pytest.fail("the stream never came to its end")


def expected(server: Server) -> list[list[Record]]:
    """Return what each partition must hold: every record of every transaction, in order."""
    capture = Capture(ROUTES, SOURCE)
    partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for lsn, changes in server.transactions:
        capture.begin(Begin(lsn, 0, 1))
        for message in [server.relation, *changes]:
            for record in capture.records(message):
                partitions[partition_of(record.key, PARTITIONS)].append(record)
    return partitions


def places(partitions: list[list[Record]]) -> list[list[tuple[Position, bytes]]]:
    """Return what is compared: which record stands where."""
    return [[(record.position, record.key) for record in records] for records in partitions]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_crash_in_the_snapshot_loses_or_repeats_a_row(seed: int, headers_relation: Relation) -> None:
    """Rows of the start come once as `r`, rows inserted since once as `c`, every later change once (CD-113)."""
    random = Random(seed)
    rows: dict[str, str] = {}
    server = Server(history(random, 8, rows, random.randint(0, 8)), headers_relation, {})
    broker = Broker()
    snapshot_to_the_end(server, broker, random, rows)
    first_point, at_start = server.slots["pending"], server.rows_at_birth
    server.transactions += history(random, server.end, rows, 3)
    stream_to_the_end(server, broker, random)

    stored = [record for records in broker.partitions for record in records]
    for records in broker.partitions:
        assert [record.position for record in records] == sorted({record.position for record in records})
    read = [record.key for record in stored if b'"__op":"r"' in (record.value or b"")]
    assert len(read) == len(set(read))
    assert set(read) <= {key_of(key) for key in at_start}
    deleted = {
        key_of(str(change.old[0]))
        for lsn, changes in server.transactions
        for change in changes
        if lsn >= first_point and isinstance(change, Delete)
    }
    assert {key_of(key) for key in at_start} - deleted <= set(read)
    streamed = [[record for record in records if record.position.lsn % 8 == 0] for records in broker.partitions]
    since = Server([each for each in server.transactions if each[0] >= first_point], headers_relation, {})
    assert places(streamed) == places(expected(since))


def key_of(text: str) -> bytes:
    """Return the record key of a row's key."""
    return b'{"id":"%s"}' % text.encode()


def snapshot_to_the_end(server: Server, broker: Broker, random: Random, rows: dict[str, str]) -> None:
    """Take the snapshot as `cdc.bootstrap` does, crash after crash, while transactions go on."""
    relation = server.relation
    table = Table(TABLE, relation.oid, False, relation.replica_identity, relation.columns, ("id",), (), None)
    for life in range(200):
        fate = Fate(random, random.randint(0, 30) if life < 8 else None)
        producer = Producer(broker, fate)
        try:
            server.transactions += history(random, server.end, rows, random.randint(0, 2))
            point, seen = server.end, sorted(rows.items())
            earlier = Earlier()
            if "pending" in server.slots:
                earlier = catch_up(server, broker, producer, fate, point)
            else:
                server.slots["pending"], server.rows_at_birth = point, dict(rows)
            fate.step()
            server.transactions += history(random, server.end, rows, random.randint(0, 2))
            copy = SnapshotCopy(Capture(ROUTES, SOURCE), producer, point, earlier=earlier, limits=Limits(records=2))
            boundaries = list(copy.boundaries(RAW, TABLE).values())
            copy.copy(table, RAW, [(row(*each), tuple((each[0],) > key for key in boundaries)) for each in seen])
            copy.finish()
            server.slots["s"] = point
        except CrashError:
            producer.store_some()
            continue
        return
    pytest.fail("the snapshot never came to its end")


def catch_up(server: Server, broker: Broker, producer: Producer, fate: Fate, until: Lsn) -> Earlier:
    """Stream from the first attempt's slot to the new consistent point."""
    tails = broker.tails(frozenset({TABLE}), Position.of_snapshot_row(server.slots["pending"], 0))
    capture = InsertWatch(ROUTES, SOURCE)
    floors = Floors({RAW: [tail.position for tail in tails]})
    relay = relay_of(server, "pending", capture, producer, fate, floors)
    relay.run_until(until)
    last = max((tail.position for tail in tails if tail.position is not None), default=None)
    return Earlier({RAW: [tail.covered for tail in tails]}, capture.inserted, last)
