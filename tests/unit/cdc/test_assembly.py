"""Streamed and prepared transactions come out of the assembly as the server would have sent them whole."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cdc.assembly import Assembly
from cdc.errors import CdcError, Kind, ProtocolError
from cdc.lsn import Lsn
from cdc.pgoutput.messages import (
    Begin,
    BeginPrepare,
    Column,
    Commit,
    CommitPrepared,
    Control,
    Event,
    Insert,
    Keepalive,
    LogicalMessage,
    Message,
    Prepare,
    Relation,
    ReplicaIdentity,
    RollbackPrepared,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
)

Wires = Callable[..., Any]
Part = tuple[Message, int] | Control | Message


def relation(oid: int, *names: str) -> Relation:
    """Return the shape of a table."""
    return Relation(oid, "s", "t", ReplicaIdentity.DEFAULT, tuple(Column(name, 25, -1, is_key=True) for name in names))


def row(text: str, oid: int = 1) -> Insert:
    """Return an insert."""
    return Insert(oid, (text,))


def assembled(wires: Wires, parts: Sequence[Part], batch: int = 100, memory: int = 1 << 20) -> list[Event]:
    """Return what the loop gets."""
    assembly = Assembly(wires(parts, batch), memory=memory)
    events: list[Event] = []
    for _ in range(len(parts) + 1):
        while got := assembly.read(0):
            events += got
    return events


STREAM = [StreamStart(5, True), (relation(1, "id"), 5), (row("a"), 5), StreamStop()]
END = StreamCommit(5, Lsn(64), Lsn(72), 1)


def test_a_read_never_returns_a_huge_transaction_at_once(wires: Wires) -> None:
    """A thousand events or a megabyte, and nothing between them that would move the slot on."""
    many = [STREAM[0], STREAM[1], *((row("x" * 1000), 5) for _ in range(5000)), StreamStop(), END]
    wire = wires(many, len(many))
    wire._events.append(Keepalive(Lsn(999), reply_requested=False))
    assembly = Assembly(wire, memory=1 << 16)
    batches = []
    while batch := assembly.read(0):
        batches.append(batch)
    assert max(map(len, batches)) <= 1024
    assert sum(map(len, batches)) == 5004
    assert batches[-1][-1] == Keepalive(Lsn(999), reply_requested=False)
    large = [STREAM[0], STREAM[1], *((row("x" * 400_000), 5) for _ in range(9)), StreamStop(), END]
    assembly = Assembly(wires(large, len(large)))
    assert max(len(assembly.read(0)) for _ in range(5)) <= 5


def test_a_shape_received_later_is_the_one_that_stays(wires: Wires) -> None:
    """What a transaction sent before another changed the shape is replayed, and then replaced again."""
    newer = relation(1, "id", "more")
    events = assembled(wires, [*STREAM, newer, END])
    assert events == [newer, Begin(Lsn(64), 1, 5), relation(1, "id"), row("a"), newer, Commit(Lsn(64), Lsn(72), 1)]
    events = assembled(wires, [newer, *STREAM, END])
    assert events == [newer, Begin(Lsn(64), 1, 5), relation(1, "id"), row("a"), Commit(Lsn(64), Lsn(72), 1)]


def test_a_keepalive_within_a_block_says_nothing_of_its_place(wires: Wires) -> None:
    """But its wish for a reply is heard."""
    wire = wires(STREAM, 100)
    wire._events.insert(2, Keepalive(Lsn(999), reply_requested=True))
    assert Assembly(wire).read(0) == [Keepalive(Lsn(0), reply_requested=True)]


def message(text: bytes) -> LogicalMessage:
    """Return a logical message; the server names the top transaction for it, wherever it was emitted."""
    return LogicalMessage(True, Lsn(1), "p", text)


M = (message(b"m"), 5)
ABORT = StreamAbort(5, 6)
AGAIN = [StreamStop(), ABORT, StreamStart(5, False)]
LATER = [StreamStop(), StreamAbort(5, 7)]


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        ([(row("a"), 5), (row("b"), 6), M, (row("c"), 6), StreamStop(), ABORT], [row("a")]),
        ([(row("a"), 5), M, (row("b"), 5), (row("c"), 6), StreamStop(), ABORT], [row("a"), message(b"m"), row("b")]),
        ([(row("b"), 6), StreamStop(), ABORT, StreamStart(5, False), M, StreamStop()], [message(b"m")]),
        (
            [(row("b"), 6), (row("c"), 7), M, StreamStop(), StreamAbort(5, 7), ABORT],
            [],
        ),
        ([(row("a"), 5), (row("b"), 6), M, *AGAIN, (row("c"), 7), *LATER], [row("a")]),
        ([(row("a"), 5), (row("b"), 7), (row("c"), 6), *LATER, ABORT], [row("a")]),
        ([(row("a"), 5), (row("b"), 8), M, (row("c"), 7), (row("d"), 6), *LATER, ABORT], [row("a")]),
        ([(row("a"), 6), M, (row("b"), 7), (row("c"), 5), StreamStop()], [row("a"), message(b"m"), row("b"), row("c")]),
    ],
)
def test_a_message_that_is_in_no_doubt_shares_the_fate_of_its_savepoint(
    wires: Wires, parts: list[Part], kept: list[Message]
) -> None:
    """It stands between changes that tell to which savepoint it belongs."""
    assert assembled(wires, [StreamStart(5, True), *parts, END]) == [
        Begin(Lsn(64), 1, 5), *kept, Commit(Lsn(64), Lsn(72), 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "parts",
    [
        [(row("a"), 5), M, (row("b"), 6), StreamStop(), ABORT],
        [(row("a"), 5), M, (row("b"), 6), *AGAIN, (row("c"), 5), (row("d"), 7), *LATER],
        [(row("a"), 5), M, StreamStop(), ABORT],
        [(row("a"), 5), M, StreamStop(), StreamStart(5, False), (row("b"), 6), StreamStop(), ABORT],
    ],
)
def test_a_message_in_doubt_is_never_guessed(wires: Wires, parts: list[Part]) -> None:
    """Before the first change of an aborted savepoint nobody can tell whose it is; whole, the server knows."""
    with pytest.raises(CdcError) as caught:
        assembled(wires, [StreamStart(5, True), *parts, END])
    assert caught.value.kind is Kind.STREAM_UNCLEAR
    # If the whole transaction is rolled back there is nothing to tell.
    assert assembled(wires, [StreamStart(5, True), *parts, StreamAbort(5, 5)]) == []


PREPARED = [
    BeginPrepare(Lsn(64), Lsn(72), 1, 5, "g"),
    relation(1, "id"),
    row("a"),
    Prepare(Lsn(64), Lsn(72), 1, 5, "g"),
]


def test_a_prepared_transaction_comes_at_its_commit_and_holds_the_confirmation_back(wires: Wires) -> None:
    """Its table is known at once, because the server describes it but once."""
    ends = [CommitPrepared(Lsn(128), Lsn(136), 7, 5, "g")]
    wire = wires([*PREPARED, *ends], 4)
    assembly = Assembly(wire)
    assert assembly.read(0) == [relation(1, "id")]
    assembly.confirm(Lsn(100))
    begin, _, *rest = assembly.read(0)
    assert (begin, rest) == (Begin(Lsn(128), 7, 5), [row("a"), Commit(Lsn(128), Lsn(136), 7)])
    assembly.confirm(Lsn(136))
    assert wire.confirmed == [64, 136]


def test_a_prepared_transaction_that_is_rolled_back_is_dropped(wires: Wires) -> None:
    """And holds nothing back any more; one that was never seen is no matter."""
    rollback = RollbackPrepared(Lsn(72), Lsn(136), 1, 7, 5, "g")
    wire = wires([rollback, *PREPARED, rollback], 100)
    assembly = Assembly(wire)
    assert assembly.read(0) == [relation(1, "id")]
    assembly.confirm(Lsn(100))
    assert wire.confirmed == [100]


@pytest.mark.parametrize("parts", [[END], [StreamStart(5, False)], [*STREAM, StreamStart(5, True)]])
def test_a_transaction_without_its_beginning_is_refused(wires: Wires, parts: list[Part]) -> None:
    """It would be cut short in silence."""
    with pytest.raises(ProtocolError):
        assembled(wires, parts)


def test_a_commit_of_what_was_prepared_elsewhere_is_refused(wires: Wires) -> None:
    """Its changes are lost; the error says so."""
    with pytest.raises(CdcError) as caught:
        assembled(wires, [CommitPrepared(Lsn(128), Lsn(136), 7, 5, "g")])
    assert caught.value.kind is Kind.PREPARED_LOST


def test_a_full_disk_is_an_error_with_a_remedy(wires: Wires, tmp_path: Path) -> None:
    """So is a folder that is not there."""
    assembly = Assembly(wires(STREAM, 100), memory=1, folder=tmp_path / "gone")
    with pytest.raises(CdcError, match="No such file") as caught:
        assembly.read(0)
    assert caught.value.kind is Kind.SPOOL
