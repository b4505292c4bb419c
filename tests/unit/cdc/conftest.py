"""What the tests of the engine's core share: an encoder of its own, and stream and sink made of lists."""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from cdc.capture import Capture
from cdc.ledger import Span
from cdc.lsn import Lsn
from cdc.pgoutput.frames import FrameReader
from cdc.pgoutput.messages import (
    UNCHANGED,
    Begin,
    BeginPrepare,
    Column,
    Commit,
    CommitPrepared,
    Control,
    Delete,
    Event,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Prepare,
    Relation,
    ReplicaIdentity,
    RollbackPrepared,
    Row,
    StreamAbort,
    StreamCommit,
    StreamPrepare,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
    WireEvent,
)
from cdc.records import Record, TopicName
from cdc.tables import Route, TableName

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


def encode_control(message: Control) -> bytes:  # noqa: PLR0911  # one case for each kind of message
    """Return the bytes of a message around streamed and prepared transactions, written from the manual."""
    match message:
        case StreamStart(xid, first):
            return b"S" + struct.pack("!IB", xid, first)
        case StreamStop():
            return b"E"
        case StreamCommit(xid, lsn, end, committed):
            return b"c" + struct.pack("!IBQQq", xid, 0, lsn, end, committed - EPOCH_US)
        case StreamAbort(xid, subxid, lsn, aborted):
            info = b"" if lsn is None or aborted is None else struct.pack("!Qq", lsn, aborted - EPOCH_US)
            return b"A" + struct.pack("!II", xid, subxid) + info
        case BeginPrepare(lsn, end, at, xid, gid):
            return b"b" + struct.pack("!QQqI", lsn, end, at - EPOCH_US, xid) + zero_ended(gid)
        case RollbackPrepared(prepare_end, end, at, rolled_back, xid, gid):
            places = struct.pack("!BQQqqI", 0, prepare_end, end, at - EPOCH_US, rolled_back - EPOCH_US, xid)
            return b"r" + places + zero_ended(gid)
        case (
            Prepare(lsn, end, at, xid, gid)
            | CommitPrepared(lsn, end, at, xid, gid)
            | StreamPrepare(lsn, end, at, xid, gid)
        ):
            kind = {Prepare: b"P", CommitPrepared: b"K", StreamPrepare: b"p"}[type(message)]
            return kind + struct.pack("!BQQqI", 0, lsn, end, at - EPOCH_US, xid) + zero_ended(gid)


def encode_streamed(message: Message, xid: int) -> bytes:
    """Return the bytes of a message within a stream block: its type, the transaction's id, the rest."""
    plain = encode(message)
    return plain[:1] + struct.pack("!I", xid) + plain[1:]


def framed(data: bytes) -> bytes:
    """Return a message in its frame."""
    return b"w" + struct.pack("!QQq", 0, 0, 0) + data


def frame_of(message: Message | Control, xid: int | None = None) -> bytes:
    """Return the frame of a message outside of blocks, or with the id of its transaction within one."""
    if isinstance(message, Message):
        return framed(encode(message) if xid is None else encode_streamed(message, xid))
    return framed(encode_control(message))


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


class FrameWire:
    """A wire that gives messages in frames and batches, as a connection does; a pair is a message within a block."""

    def __init__(self, parts: Sequence[Any], batch: int = 1000) -> None:
        reader = FrameReader()
        frames = [frame_of(*part) if isinstance(part, tuple) else frame_of(part) for part in parts]
        self._events: list[WireEvent] = [reader.read(data) for data in frames]
        self._batch = batch
        self.confirmed: list[int] = []

    def read(self, timeout: float) -> list[WireEvent]:
        """Return the next events."""
        batch, self._events = self._events[: self._batch], self._events[self._batch :]
        return batch

    def confirm(self, lsn: Lsn) -> None:
        """Keep the confirmation."""
        self.confirmed.append(lsn)


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
def frame() -> Callable[..., bytes]:
    """A maker of frames: of a message outside of blocks, or with the id of its transaction within one."""
    return frame_of


@pytest.fixture(scope="session")
def wire_control() -> Callable[[Control], bytes]:
    """The independent encoder of the messages around streamed and prepared transactions."""
    return encode_control


@pytest.fixture(scope="session")
def wires() -> type[FrameWire]:
    """The class of wires made of lists."""
    return FrameWire


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
