"""Owns the world around the jobs of incremental snapshots: stream, broker, reader; and the lives of an engine in it.

The engine may die at any step; the loop, the jobs and their windows are the engine's own. A message is sent again only
when its record's beginning lies at the confirmed LSN or behind it.
"""

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Final

from cdc.backfill.messages import Read, Request, encode
from cdc.backfill.tasks import Answer, Chunk, Emit, Later, Open, Opened, Task
from cdc.backfill.work import Backfill
from cdc.capture import Capture
from cdc.catalog import Table
from cdc.ledger import Limits, Span
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import Event, Keepalive, Relation
from cdc.positions import Floors, partition_of
from cdc.readback import Search, Tail
from cdc.records import Record, TopicName
from cdc.relay import Pace, Relay
from cdc.simulation.visibility import LARGE, CrashError, Postgres
from cdc.tables import Route, TableName

RAW: Final = TopicName("raw")
NAME: Final = TableName("public", "event_headers")
ROUTES: Final = {NAME: Route(RAW, ("id",))}
SOURCE: Final = b"7/db"
PARTITIONS: Final = 3
REQUEST: Final = Request("r1", "s", NAME)


class Stream:
    """What the slot sends: records that begin at the confirmed LSN or behind it, and keepalives."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._next = sum(start < postgres.confirmed for start, _, _ in postgres.wal)

    def read(self, timeout: float) -> Sequence[Event]:  # noqa: ARG002  # the port's argument
        """Return the next record's events, or a keepalive at the end."""
        self._postgres.step()
        if self._next < len(self._postgres.wal):
            self._next += 1
            return self._postgres.wal[self._next - 1][2]
        return [Keepalive(self._postgres.end, reply_requested=True)]

    def confirm(self, lsn: Lsn) -> None:
        """Let the server forget."""
        self._postgres.step()
        self._postgres.confirmed = max(self._postgres.confirmed, lsn)


class Kafka:
    """The topic, and the producer of one life: a queue for each partition, acknowledged in any order across them."""

    def __init__(self, postgres: Postgres, partitions: list[list[Record]]) -> None:
        self._postgres, self.partitions = postgres, partitions
        self._queues: list[deque[tuple[Record, Span]]] = [deque() for _ in partitions]
        self._stored: list[Span] = []

    def send(self, record: Record, span: Span) -> None:
        """Queue a record."""
        self._postgres.step()
        self._queues[partition_of(record.key, PARTITIONS)].append((record, span))

    def poll(self, timeout: float) -> None:  # noqa: ARG002  # the port's argument
        """Store some of what is queued, acknowledge some of what is stored."""
        self._postgres.step()
        self.store_some()
        self._postgres.random.shuffle(self._stored)
        for _ in range(self._postgres.random.randint(0, len(self._stored))):
            self._stored.pop().acknowledge()

    def store_some(self) -> None:
        """Store a part of each queue, as also happens after the process has died."""
        for number, queue in enumerate(self._queues):
            for _ in range(self._postgres.random.randint(0, len(queue))):
                record, span = queue.popleft()
                self.partitions[number].append(record)
                self._stored.append(span)


def tails(partitions: list[list[Record]], search: Search) -> list[Tail]:
    """Read the topic back, as the engine does."""
    found = [Tail() for _ in partitions]
    for tail, records in zip(found, partitions, strict=True):
        for record in reversed(records):
            if not search.note(tail, dict(record.headers)):
                break
    return found


class Reader:
    """Does the tasks at any later time, a piece at each poll."""

    def __init__(self, postgres: Postgres, life: str, partitions: list[list[Record]]) -> None:
        self._postgres, self._life, self._partitions = postgres, life, partitions
        relation = postgres.relation
        self._table = Table(NAME, relation.oid, False, relation.replica_identity, relation.columns, ("id",), (), None)
        self._tasks: deque[Task | str] = deque()

    def submit(self, task: Task) -> None:
        """Take a task."""
        self._postgres.step()
        self._tasks.append(task)

    def poll(self) -> Answer | None:
        """Do the next piece, if the dice say so."""
        self._postgres.step()
        if not self._tasks or self._postgres.random.random() < 0.3:
            return None
        task = self._tasks.popleft()
        if isinstance(task, str):
            self._postgres.emit(task)
        elif isinstance(task, Emit):
            self._postgres.emit(encode(task.message))
        elif isinstance(task, Open):
            search = Search(SOURCE, frozenset({NAME}), Position(task.job.read_from, 0), task.job.request.id)
            held = enumerate(tails(self._partitions, search))
            covered = {number: tail.covered[NAME] for number, tail in held if NAME in tail.covered}
            upper = task.job.upper or (max(self._postgres.rows),) if self._postgres.rows else None
            return Opened(task.number, upper, covered, self._postgres.snapshot().running)
        else:
            snapshot = self._postgres.snapshot()
            if snapshot.running & task.avoid:
                return Later(task.number, snapshot)
            after, upper = task.job.last or ("",), task.job.upper or ("",)
            keys = sorted(key for key in self._postgres.rows if after < (key,) <= upper)
            found = self._postgres.rows
            rows = [(found[key], tuple((key,) > each for each in task.boundaries)) for key in keys[: task.limit]]
            self._tasks.append(encode(Read("s", self._life, task.number)))
            return Chunk(task.number, self._table, rows, snapshot, len(keys) < task.limit)
        return None


def live(postgres: Postgres, partitions: list[list[Record]], life: str) -> None:
    """Run one life of the engine until it dies, or until the job is over and everything confirmed."""
    kafka, capture = Kafka(postgres, partitions), Capture(ROUTES, SOURCE)
    backfill = Backfill("s", life, Reader(postgres, life, partitions), capture, {RAW: PARTITIONS})
    floors = Floors({RAW: [tail.position for tail in tails(partitions, Search(SOURCE))]})
    limits = Limits(records=postgres.random.choice([1, 3, 1000]))
    pace = Pace(wait=0, status=0, report=1e9)
    relay = Relay(
        Stream(postgres), kafka, capture, confirmed=postgres.confirmed, floors=floors, limits=limits, pace=pace,
        backfill=backfill,
    )  # fmt: skip
    rounds = 0

    def over() -> bool:
        nonlocal rounds
        rounds += 1
        assert rounds < 5000, "the job never ended"
        if not postgres.running and postgres.version > 150 and backfill.hold is None:
            return postgres.confirmed >= postgres.end
        return False

    try:
        relay.run(over)
    except CrashError:
        kafka.store_some()
        raise


def run(seed: int, relation: Relation) -> tuple[Postgres, list[list[Record]], set[str], set[str]]:
    """Run life after life; return the world, the topic, the keys at the request, and those changed since."""
    random = Random(seed)  # noqa: S311  # a seeded schedule
    postgres = Postgres(random, relation)
    for key in random.sample(range(30), 20):
        postgres.rows[f"k{key:02}"] = (f"k{key:02}", "000000", None, None, None, f"{LARGE}first")
    partitions: list[list[Record]] = [[] for _ in range(PARTITIONS)]
    for _ in range(random.randint(0, 6)):
        postgres.step()
    at_request, changed = set(postgres.rows), postgres.changed
    postgres.emit(encode(REQUEST))
    if random.random() < 0.3:
        postgres.emit(encode(REQUEST))
    for number in range(30):
        postgres.crash_in = random.randint(20, 600) if number < 8 else None
        try:
            live(postgres, partitions, f"life{number}")
        except CrashError:
            continue
        return postgres, partitions, at_request, changed
    raise AssertionError("the engine never came to its end")
