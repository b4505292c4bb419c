"""What the tests of the engine's core share: an encoder of its own, and stream and sink made of lists."""

import struct
from collections.abc import Callable, Iterable, Sequence

import pytest

from cdc.capture import Capture, Route, TableName
from cdc.ledger import Span
from cdc.lsn import Lsn
from cdc.pgoutput.messages import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Delete,
    Event,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    ReplicaIdentity,
    Row,
    Truncate,
    Type,
    Update,
)
from cdc.records import Record, TopicName

EPOCH_US = 946_684_800_000_000
TEXT, VARCHAR, TIMESTAMPTZ, JSONB = 25, 1043, 1184, 3802


def encode(message: Message) -> bytes:  # noqa: C901, PLR0911  # one case for each kind of message
    """Return the bytes of a message, written from the manual and not from the decoder."""
    match message:
        case Begin(lsn, committed, xid):
            return b"B" + struct.pack("!QqI", lsn, committed - EPOCH_US, xid)
        case Commit(lsn, end, committed):
            return b"C\0" + struct.pack("!QQq", lsn, end, committed - EPOCH_US)
        case Origin(lsn, name):
            return b"O" + struct.pack("!Q", lsn) + zero_ended(name)
        case Type(oid, schema, name):
            return b"Y" + struct.pack("!I", oid) + zero_ended(schema) + zero_ended(name)
        case Relation(oid, schema, name, identity, columns):
            head = b"R" + struct.pack("!I", oid) + zero_ended(schema) + zero_ended(name) + identity.value.encode()
            tail = b"".join(
                bytes([each.is_key]) + zero_ended(each.name) + struct.pack("!Ii", each.type_oid, each.type_modifier)
                for each in columns
            )
            return head + struct.pack("!H", len(columns)) + tail
        case Insert(oid, new):
            return b"I" + struct.pack("!I", oid) + b"N" + encode_row(new)
        case Update(oid, old, old_is_key, new):
            before = b"" if old is None else (b"K" if old_is_key else b"O") + encode_row(old)
            return b"U" + struct.pack("!I", oid) + before + b"N" + encode_row(new)
        case Delete(oid, old, old_is_key):
            return b"D" + struct.pack("!I", oid) + (b"K" if old_is_key else b"O") + encode_row(old)
        case Truncate(oids, cascade, restart):
            options = cascade | restart << 1
            return b"T" + struct.pack("!IB", len(oids), options) + b"".join(struct.pack("!I", oid) for oid in oids)
        case LogicalMessage(transactional, lsn, prefix, content):
            head = b"M" + struct.pack("!BQ", transactional, lsn)
            return head + zero_ended(prefix) + struct.pack("!i", len(content)) + content


def zero_ended(text: str) -> bytes:
    """Return the protocol's String."""
    return text.encode() + b"\0"


def encode_row(row: Row) -> bytes:
    """Return the protocol's TupleData."""
    columns = []
    for value in row:
        if value is None:
            columns.append(b"n")
        elif value is UNCHANGED:
            columns.append(b"u")
        else:
            kind, content = (b"t", value.encode()) if isinstance(value, str) else (b"b", value)
            columns.append(kind + struct.pack("!i", len(content)) + content)
    return struct.pack("!H", len(row)) + b"".join(columns)


class ListStream:
    """A stream of batches; an exception in a batch is raised when its turn comes. Keeps what was confirmed."""

    def __init__(self, batches: Iterable[Sequence[Event | Exception]]) -> None:
        self._batches = [list(batch) for batch in batches]
        self.confirmed: list[Lsn] = []

    def read(self, timeout: float) -> list[Event]:
        """Return the next batch, nothing when there is none left."""
        if not self._batches:
            return []
        batch = self._batches.pop(0)
        for event in batch:
            if isinstance(event, Exception):
                raise event
        return batch

    def confirm(self, lsn: Lsn) -> None:
        """Keep the confirmation."""
        self.confirmed.append(lsn)

    @property
    def exhausted(self) -> bool:
        """Whether every batch was read."""
        return not self._batches


class ListSink:
    """A sink that keeps records and acknowledges them when the test says so, or at each poll."""

    def __init__(self, *, prompt: bool = True) -> None:
        self.prompt = prompt
        self.sent: list[Record] = []
        self.waiting: list[Span] = []

    def send(self, record: Record, span: Span) -> None:
        """Keep a record."""
        self.sent.append(record)
        self.waiting.append(span)

    def poll(self, timeout: float) -> None:
        """Acknowledge everything, if prompt."""
        if self.prompt:
            self.acknowledge(*range(len(self.waiting)))

    def acknowledge(self, *indices: int) -> None:
        """Acknowledge some of the records that wait, by their place among them."""
        for index in sorted(indices, reverse=True):
            self.waiting.pop(index).acknowledge()


@pytest.fixture(scope="session")
def wire() -> Callable[[Message], bytes]:
    """The independent encoder."""
    return encode


@pytest.fixture(scope="session")
def list_stream() -> type[ListStream]:
    """The class of streams made of lists."""
    return ListStream


@pytest.fixture(scope="session")
def list_sink() -> type[ListSink]:
    """The class of sinks made of lists."""
    return ListSink


@pytest.fixture(scope="session")
def headers_relation() -> Relation:
    """`event_headers` as the server describes it."""
    return Relation(
        16401,
        "public",
        "event_headers",
        ReplicaIdentity.DEFAULT,
        (
            Column("id", VARCHAR, 259, is_key=True),
            Column("event_name", VARCHAR, 259, is_key=False),
            Column("event_type", VARCHAR, 259, is_key=False),
            Column("created_date", TIMESTAMPTZ, -1, is_key=False),
            Column("saved_date", TIMESTAMPTZ, -1, is_key=False),
            Column("header_data", JSONB, -1, is_key=False),
        ),
    )


@pytest.fixture(scope="session")
def new_capture() -> Callable[[], Capture]:
    """A maker of captures for `public.event_headers` into `raw`, whose clock stands at 1,000.5 s."""
    routes = {TableName("public", "event_headers"): Route(TopicName("raw"), ("id",))}
    return lambda: Capture(routes, b"7/db", clock=lambda: 1000.5)
