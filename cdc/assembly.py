"""Owns the way from what the server sends to whole transactions: to the loop a streamed one looks like any other.

It stands between stream and loop. While a transaction runs its blocks go to a spool, undecoded; at its commit they
come out as protocol 1 would have sent them: Begin, what survived in its order, Commit. So a position is the same
whether the server streamed a transaction or not, and the server may stream it one time and not the next. A prepared
transaction (slots with two_phase) is held in the same way until its COMMIT PREPARED.

It does no I/O but by its stream and the spools' files, and keeps nothing beyond its connection: on a new one the server
sends again every transaction whose commit lies beyond the confirmed LSN, from its first block on. For that reason the
LSNs of keepalives may be confirmed while a streamed transaction is open: its commit is still to come, beyond them.
With a prepared transaction it is otherwise: past its PREPARE the server sends only "committed", so that the
confirmation stays before the oldest one that is held.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

from cdc.errors import CdcError, Kind, ProtocolError
from cdc.lsn import Lsn
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.messages import (
    Begin,
    BeginPrepare,
    Commit,
    CommitPrepared,
    Event,
    Keepalive,
    Origin,
    Prepare,
    Relation,
    RollbackPrepared,
    StreamAbort,
    StreamCommit,
    Streamed,
    StreamPrepare,
    StreamStart,
    StreamStop,
    WireEvent,
)
from cdc.spool import Spool
from cdc.watch.observer import UNWATCHED, Observer

DEFAULT_MEMORY: Final = 8 * 1024 * 1024
_BATCH_EVENTS: Final = 1024
_BATCH_BYTES: Final = 1024 * 1024
_DESCRIPTIONS: Final = frozenset(b"RY")


class Wire(Protocol):
    """The connection: what the server sends, as it sends it."""

    def read(self, timeout: float) -> Sequence[WireEvent]:
        """Return the next events in order, none if there are none within `timeout` seconds. Raises CdcError."""

    def confirm(self, lsn: Lsn) -> None:
        """Tell the server that everything before `lsn` is safe; also the sign of life. Raises CdcError."""


class Assembly:
    """A stream of whole transactions over one connection."""

    def __init__(
        self,
        wire: Wire,
        *,
        memory: int = DEFAULT_MEMORY,
        folder: Path | None = None,
        observer: Observer = UNWATCHED,
    ) -> None:
        """Start with nothing open.

        Args:
            wire: The connection.
            memory: How many bytes of all open transactions together are kept in memory; the rest is in files.
            folder: Where the files are made, by default the system's folder for such.
            observer: Is told that the server speaks also when that gives the loop nothing.
        """
        self._wire = wire
        self._memory = memory
        self._folder = folder
        self._observer = observer
        self._open: dict[int, Spool] = {}
        self._held: dict[int, tuple[Lsn, Spool]] = {}
        """The transactions that are prepared, with the LSN before which nothing may be confirmed."""
        self._block: Spool | None = None
        self._preparing = False
        self._orders = count(1)
        self._order = 0
        self._relations: dict[int, tuple[int, Relation]] = {}
        """What the loop knows of each relation, and when that was received."""
        self._flow: Iterator[Event] = iter(())
        self._handlers: dict[type[WireEvent], Callable[[Any], Iterable[Event]]] = {
            Streamed: self._streamed,
            Relation: self._relation,
            Keepalive: self._keepalive,
            StreamStart: self._stream_start,
            StreamStop: self._stream_stop,
            StreamAbort: self._stream_abort,
            StreamCommit: self._stream_commit,
            StreamPrepare: self._stream_prepare,
            BeginPrepare: self._begin_prepare,
            Prepare: self._prepare,
            CommitPrepared: self._commit_prepared,
            RollbackPrepared: self._rollback_prepared,
        }
        self._size = 0
        self._in_memory = 0
        self._confirmed = Lsn(0)

    def read(self, timeout: float) -> list[Event]:
        """Return the next events, at most a thousand, or as many as make a megabyte.

        Raises:
            CdcError: The connection fails, the server breaks the protocol, or there is no room for the spool.
        """
        events = self._take()
        if not events and (received := self._wire.read(timeout)):
            self._observer.heard()
            self._flow = self._assemble(received)
            events = self._take()
        return events

    def confirm(self, lsn: Lsn) -> None:
        """Confirm to the server, but never beyond a prepared transaction that is held, and never backwards.

        Raises:
            CdcError: The connection is lost.
        """
        limit = min((prepared for prepared, _ in self._held.values()), default=lsn)
        self._confirmed = max(self._confirmed, min(lsn, limit))
        self._wire.confirm(self._confirmed)

    def _take(self) -> list[Event]:
        self._size = 0
        events: list[Event] = []
        for event in self._flow:
            events.append(event)
            if len(events) >= _BATCH_EVENTS or self._size >= _BATCH_BYTES:
                break
        return events

    def _assemble(self, received: Sequence[WireEvent]) -> Iterator[Event]:
        for event in received:
            handle = self._handlers.get(type(event))
            if handle is not None:
                yield from handle(event)
            elif self._block is None:
                yield event  # type: ignore[misc]  # every message of control has its handler
            elif not isinstance(event, Origin):
                raise ProtocolError(f"{type(event).__name__} within a block", 0)

    def _relation(self, event: Relation) -> Iterable[Event]:
        self._relations[event.oid] = (next(self._orders), event)
        return (event,)

    def _keepalive(self, event: Keepalive) -> Iterable[Event]:
        # Within a block as within any transaction: a reply may be due, but the place says nothing.
        return (event if self._block is None else Keepalive(Lsn(0), event.reply_requested),)

    def _stream_start(self, event: StreamStart) -> Iterable[Event]:
        if event.first is (event.xid in self._open):
            # Without its beginning a transaction would be cut short in silence.
            raise ProtocolError(f"a block of transaction {event.xid} is out of turn", 0)
        return self._enter(self._open.setdefault(event.xid, Spool(event.xid, self._folder)))

    def _stream_stop(self, _event: StreamStop) -> Iterable[Event]:
        self._leave()
        return ()

    def _stream_abort(self, event: StreamAbort) -> Iterable[Event]:
        spool = self._open.get(event.xid)
        if spool is not None and event.subxid == event.xid:
            self._drop(self._open.pop(event.xid))
        elif spool is not None:
            before = spool.memory
            spool.cut(event.subxid)
            self._in_memory += spool.memory - before
        return ()

    def _stream_commit(self, event: StreamCommit) -> Iterable[Event]:
        return self._replay(self._known(event.xid), event.xid, event.commit_lsn, event.end_lsn, event.committed_us)

    def _stream_prepare(self, event: StreamPrepare) -> Iterable[Event]:
        self._held[event.xid] = (event.lsn, self._known(event.xid))
        return ()

    def _begin_prepare(self, event: BeginPrepare) -> Iterable[Event]:
        self._forget(event.xid)
        self._preparing = True
        return self._enter(Spool(event.xid, self._folder))

    def _prepare(self, event: Prepare) -> Iterable[Event]:
        self._held[event.xid] = (event.lsn, self._leave())
        return ()

    def _commit_prepared(self, event: CommitPrepared) -> Iterable[Event]:
        if event.xid not in self._held:
            # To go on would lose it in silence.
            message = f"prepared transaction {event.gid} is committed, but its changes were never sent here"
            raise CdcError(Kind.PREPARED_LOST, message)
        return self._replay(self._held.pop(event.xid)[1], event.xid, event.lsn, event.end_lsn, event.at_us)

    def _rollback_prepared(self, event: RollbackPrepared) -> Iterable[Event]:
        self._forget(event.xid)
        return ()

    def _enter(self, spool: Spool) -> Iterable[Event]:
        if self._block is not None:
            raise ProtocolError("a block within a block", 0)
        self._order = next(self._orders)
        spool.mark(self._order)
        self._block = spool
        return ()

    def _leave(self) -> Spool:
        spool = self._block
        if spool is None:
            raise ProtocolError("the end of a block that never began", 0)
        self._block, self._preparing = None, False
        return spool

    def _known(self, xid: int) -> Spool:
        spool = self._open.pop(xid, None)
        if spool is None or spool is self._block:
            raise ProtocolError(f"the end of transaction {xid}, which never began", 0)
        return spool

    def _forget(self, xid: int) -> None:
        """Let go of a prepared transaction, if it is held."""
        if xid in self._held:
            self._drop(self._held.pop(xid)[1])

    def _drop(self, spool: Spool | None) -> None:
        if spool is not None:
            self._in_memory -= spool.memory
            spool.release()

    def _streamed(self, event: Streamed) -> Iterable[Event]:
        spool = self._block
        if spool is None:
            raise ProtocolError("a streamed message outside of any block", 0)
        before = spool.memory
        spool.append(event.xid, event.kind, event.body)
        self._in_memory += spool.memory - before
        if self._in_memory > self._memory:
            self._spill()
        if self._preparing and event.kind in _DESCRIPTIONS:
            # The server takes it as said from here on, for every other transaction too.
            message = decode(bytes((event.kind,)) + event.body)
            if isinstance(message, Relation):
                self._relations[message.oid] = (self._order, message)
            return (message,)  # type: ignore[return-value]
        return ()

    def _spill(self) -> None:
        spools = [*self._open.values(), *(spool for _, spool in self._held.values())]
        if self._block is not None:
            spools.append(self._block)
        # The largest first, so that few files serve many transactions.
        largest = max(spools, key=lambda spool: spool.memory)
        before = largest.memory
        largest.spill()
        self._in_memory += largest.memory - before

    def _replay(self, spool: Spool, xid: int, commit_lsn: Lsn, end_lsn: Lsn, committed_us: int) -> Iterator[Event]:
        if spool.unclear:
            doubt = f"transaction {xid}: a logical message may belong to a savepoint that was rolled back"
            raise CdcError(Kind.STREAM_UNCLEAR, doubt)
        yield Begin(commit_lsn, committed_us, xid)
        newer: dict[int, Relation] = {}
        for order, data in spool.messages():
            message = decode(data)
            if isinstance(message, Relation):
                received, known = self._relations.get(message.oid, (0, message))
                if received > order:
                    newer[message.oid] = known
                else:
                    self._relations[message.oid] = (order, message)
            self._size += len(data)
            yield message  # type: ignore[misc]  # a spool takes no message of control
        # What was received later is what the server goes by from here on.
        yield from newer.values()
        self._drop(spool)
        yield Commit(commit_lsn, end_lsn, committed_us)
