"""Truncations in every partition, and messages between and within transactions: once, in order, through any crash.

In the manner of `test_crashes.py`: the server sends again what is not confirmed, from its beginning; the broker stores
a prefix of what each partition was sent; acknowledgements and confirmations get lost; a crash comes anywhere.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.capture import Capture
from cdc.emission import Emission
from cdc.ledger import Limits, Span
from cdc.lsn import Lsn, Position
from cdc.outbox import Outbox
from cdc.pgoutput.messages import Begin, Commit, Event, Insert, Keepalive, LogicalMessage, Message, Relation, Truncate
from cdc.positions import Floors, partition_of
from cdc.readback import Search, Tail
from cdc.records import Record, TopicName
from cdc.relay import Pace, Relay
from cdc.tables import Route, TableName

RAW, EVENTS = TopicName("raw"), TopicName("events")
PARTITIONS = {RAW: 3, EVENTS: 2}
ROUTES = {TableName("public", name): Route(RAW, ("id",)) for name in ("event_headers", "other")}
OIDS = (16401, 16402)
EMISSION = Emission(truncated=PARTITIONS, outbox=Outbox({"rows": RAW, "outbox": EVENTS}))

Place = tuple[TopicName, int]


class CrashError(Exception):
    """The process is gone."""


@dataclass
class World:
    """Transactions and messages by the LSN at which the server comes to them, and what outlives the engine."""

    random: Random
    relations: Sequence[Relation]
    log: list[tuple[Lsn, list[Message]]] = field(default_factory=list)
    confirmed: Lsn = field(default_factory=lambda: Lsn(0))
    stored: dict[Place, list[Record]] = field(default_factory=dict)
    steps: int | None = None

    def __post_init__(self) -> None:
        """Create the partitions."""
        self.stored = {(topic, number): [] for topic, count in PARTITIONS.items() for number in range(count)}

    def step(self) -> None:
        """Let one thing happen."""
        if self.steps is not None:
            if self.steps == 0:
                raise CrashError
            self.steps -= 1

    @property
    def end(self) -> Lsn:
        """The end of the log."""
        return Lsn(self.log[-1][0] + 8)

    def write(self, entries: int) -> None:
        """Make a history up."""
        random, lsn = self.random, 8
        for number in range(entries):
            lsn += 8 * random.randint(2, 5)
            prefix = random.choice(("rows", "outbox", "nobody"))
            if random.random() < 0.3:
                self.log.append((Lsn(lsn), [LogicalMessage(False, Lsn(lsn), prefix, b"%d" % number)]))
                continue
            changes: list[Message] = []
            for part in range(random.randint(0, 4)):
                row = (f"{number}.{part}", "x", None, None, None, "{}")
                oids = tuple(random.sample(OIDS, random.randint(1, 2)))
                within = LogicalMessage(True, Lsn(lsn - 8), prefix, b"%d" % part)
                changes.append(random.choice((Insert(oids[0], row), Truncate(oids, False, False), within)))
            self.log.append((Lsn(lsn), [Begin(Lsn(lsn), 0, 7), *changes, Commit(Lsn(lsn), Lsn(lsn + 8), 0)]))

    def events(self) -> list[Event]:
        """Return what the server sends from the confirmed LSN on."""
        events: list[Event] = []
        for lsn, messages in self.log:
            if lsn >= self.confirmed:
                # Described within a transaction, as the server does it.
                described = self.relations if isinstance(messages[0], Begin) else ()
                events += [messages[0], *described, *messages[1:]]
                if self.random.random() < 0.5:
                    events.append(Keepalive(Lsn(lsn + 8), reply_requested=True))
        return [*events, Keepalive(self.end, reply_requested=True)]

    def floors(self) -> Floors:
        """Read back the ends, as the engine does."""
        tails = {place: Tail() for place in self.stored}
        for place, records in self.stored.items():
            for record in reversed(records):
                if not Search(b"7/db").note(tails[place], dict(record.headers)):
                    break
        return Floors({topic: [tails[topic, each].position for each in range(n)] for topic, n in PARTITIONS.items()})


class Life:
    """One process's stream and sink."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._events = deque(world.events())
        self._queues: dict[Place, deque[tuple[Record, Span]]] = {place: deque() for place in world.stored}
        self._answers: list[Span] = []

    def read(self, timeout: float) -> Sequence[Event]:
        """Return some of the next events."""
        self._world.step()
        count = self._world.random.randint(0, min(4, len(self._events)))
        return [self._events.popleft() for _ in range(count)]

    def confirm(self, lsn: Lsn) -> None:
        """Let the server forget, unless the confirmation is lost."""
        self._world.step()
        if self._world.random.random() < 0.7:
            self._world.confirmed = max(self._world.confirmed, lsn)

    def send(self, record: Record, span: Span) -> None:
        """Queue a record."""
        self._world.step()
        self._queues[place_of(record)].append((record, span))

    def poll(self, timeout: float) -> None:
        """Store and acknowledge some."""
        self._world.step()
        self.store_some()
        self._world.random.shuffle(self._answers)
        for _ in range(self._world.random.randint(0, len(self._answers))):
            self._answers.pop().acknowledge()

    def store_some(self) -> None:
        """Append a prefix of each queue."""
        for place, queue in self._queues.items():
            for _ in range(self._world.random.randint(0, len(queue))):
                record, span = queue.popleft()
                self._world.stored[place].append(record)
                self._answers.append(span)


def place_of(record: Record) -> Place:
    """Return the partition of a record."""
    if record.partition is not None:
        return record.topic, record.partition
    return record.topic, partition_of(record.key, PARTITIONS[record.topic])


def expected(world: World) -> dict[Place, list[Record]]:
    """Return what each partition must hold."""
    capture = Capture(ROUTES, b"7/db", clock=lambda: 0, emission=EMISSION)
    places: dict[Place, list[Record]] = {place: [] for place in world.stored}
    for relation in world.relations:
        capture.records(relation)
    for _, messages in world.log:
        for message in messages:
            if isinstance(message, Begin):
                capture.begin(message)
            for record in capture.records(message):
                places[place_of(record)].append(record)
    return places


def live_to_the_end(world: World) -> None:
    """Run process after process, each crashing somewhere, until one has confirmed everything."""
    for number in range(200):
        world.steps = world.random.randint(0, 50) if number < 12 else None
        life = Life(world)
        capture = Capture(ROUTES, b"7/db", clock=lambda: 0, emission=EMISSION)
        limits, pace = Limits(records=world.random.choice((1, 3, 1000))), Pace(wait=0, status=0, report=1e9)
        relay = Relay(life, life, capture, confirmed=world.confirmed, floors=world.floors(), limits=limits, pace=pace)
        try:
            relay.run(lambda: world.confirmed >= world.end)
        except CrashError:
            life.store_some()
            continue
        return
    pytest.fail("the stream never came to its end")


def new_world(seed: int, relation: Relation) -> World:
    """Return a world with two tables in one topic."""
    random = Random(seed)
    world = World(random, (relation, replace(relation, oid=OIDS[1], name="other")))
    world.write(random.randint(1, 8))
    return world


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_crash_loses_or_repeats_a_truncation_or_a_message(seed: int, headers_relation: Relation) -> None:
    """Each partition holds its records once and in the order of their positions, whatever placed them there."""
    world = new_world(seed, headers_relation)
    live_to_the_end(world)
    assert world.stored == expected(world)
    for records in world.stored.values():
        positions = [record.position for record in records]
        assert positions == sorted(set(positions))


def test_the_test_finds_a_floor_taken_from_the_key(headers_relation: Relation, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the skipping looked at the key's partition for a placed record, some crash would show it."""

    def by_key(floors: Floors, record: Record) -> bool:
        return hold(floors, replace(record, partition=None))

    hold = Floors.hold
    monkeypatch.setattr(Floors, "hold", by_key)
    for seed in range(400):
        world = new_world(seed, headers_relation)
        live_to_the_end(world)
        if world.stored != expected(world):
            return
    pytest.fail("the fault was not found")


def test_catching_up_stops_at_a_message_beyond_its_end(headers_relation: Relation) -> None:
    """A message behind the snapshot's point is left to the stream that follows; one that ends there is not."""
    world = World(Random(0), (headers_relation,))
    world.log = [(Lsn(lsn), [LogicalMessage(False, Lsn(lsn), "outbox", b"")]) for lsn in (16, 32, 48)]
    life = Life(world)
    relay = Relay(
        life,
        life,
        Capture(ROUTES, b"7/db", emission=EMISSION),
        confirmed=Lsn(0),
        floors=world.floors(),
        pace=Pace(wait=0, status=0, report=1e9),
    )
    relay.run_until(Lsn(32))
    stored = [record.position for records in world.stored.values() for record in records]
    assert stored == [Position(Lsn(16), 0), Position(Lsn(32), 0)]
    assert world.confirmed == Lsn(0)
