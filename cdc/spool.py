"""Owns the bytes of transactions that have not committed: in memory up to a budget, then in a file without a name.

It decodes nothing and knows no message but by its kind. The file is anonymous, so `kill -9` leaves nothing behind.

A rolled-back subtransaction is cut off the end. That is right because transactions nest: a savepoint is rolled back
together with everything that was done after it, so behind the first message of an aborted subtransaction there is
nothing that survives (PostgreSQL's own apply worker cuts its file in the same way). The relations described behind the
cut go too: the server forgets that it sent them whenever it sends an abort (`cleanup_rel_sync_cache` in pgoutput.c).

To know where a subtransaction began costs 12 bytes for each that is not rolled back, nothing for one that is.
"""

import io
from array import array
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from tempfile import TemporaryFile
from typing import Final
from weakref import finalize

from cdc.errors import CdcError, Kind
from cdc.failpoints import Failpoint, reach

_HEAD: Final = Struct("!IB")
_ORDER: Final = Struct("!Q")
_MARK: Final = 0
"""The kind of an entry that is no message: the order number of the block that begins."""
_MESSAGE: Final = ord("M")
_INDEX_BYTES: Final = 12
_READ_BYTES: Final = 256 * 1024
_HALF: Final = 1 << 31
_XIDS: Final = (1 << 32) - 1


class Spool:
    """The messages of one top transaction in the order they came, without those of aborted subtransactions."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_close",
        "_file",
        "_folder",
        "_loose",
        "_order",
        "_spilled",
        "_starts",
        "_subs",
        "_unclear",
        "xid",
    )

    def __init__(self, xid: int, folder: Path | None = None) -> None:
        """Begin empty; the file, if it comes to one, is made in `folder`, by default the system's for such."""
        self.xid = xid
        self._folder = folder
        self._buffer = bytearray()
        self._file: io.FileIO | None = None
        self._close: finalize[[], Spool] | None = None
        self._spilled = 0
        # The subtransactions that may still be rolled back by themselves, by growing xid, and where each began. The
        # lowest bit of a start says that logical messages stand right before it.
        self._subs = array("I")
        self._starts = array("Q")
        self._loose: int | None = None
        self._order: int | None = None
        self._unclear: int | None = None

    @property
    def size(self) -> int:
        """The bytes of all messages that are held, wherever."""
        return self._spilled + len(self._buffer)

    @property
    def memory(self) -> int:
        """The bytes of messages that are in memory: what `spill` frees."""
        return len(self._buffer)

    @property
    def index(self) -> int:
        """The bytes in memory that tell where subtransactions began; these are never spilled."""
        return _INDEX_BYTES * len(self._subs)

    @property
    def unclear(self) -> bool:
        """Whether a logical message may or may not belong to a subtransaction that was rolled back.

        The server sends it under the top transaction's id, whichever subtransaction emitted it. Nobody can tell those
        apart that stand right before the first change of an aborted subtransaction.
        """
        return self._unclear is not None

    def mark(self, order: int) -> None:
        """Note the place of a block among all that was received; it takes room when its first message comes."""
        self._order = order
        reach(Failpoint.BLOCK_BEGUN)

    def append(self, xid: int, kind: int, body: bytes) -> None:
        """Take a message of a subtransaction, or of the top transaction itself."""
        if self._order is not None:
            self._buffer += _HEAD.pack(_ORDER.size, _MARK) + _ORDER.pack(self._order)
            self._order = None
        if kind == _MESSAGE:
            if self._loose is None:
                self._loose = self.size
        else:
            if xid == self.xid:
                # The top transaction goes on, so every subtransaction so far has been released into it.
                if self._subs:
                    del self._subs[:], self._starts[:]
            elif not self._subs or self._subs[-1] != xid:
                self._enter(xid)
            self._loose = None
        self._buffer += _HEAD.pack(len(body), kind)
        self._buffer += body

    def _enter(self, xid: int) -> None:
        """Push a subtransaction; those with a later id were released into it and share its fate."""
        start = self.size << 1 if self._loose is None else self._loose << 1 | 1
        while self._subs and _later(self._subs[-1], xid):
            self._subs.pop()
            start = self._starts.pop()
        if not self._subs or self._subs[-1] != xid:
            self._subs.append(xid)
            self._starts.append(start)

    def cut(self, subxid: int) -> None:
        """Drop everything from the first message of a subtransaction on: it is rolled back.

        Raises:
            CdcError: The file cannot be cut.
        """
        start = None
        while self._subs and not _later(subxid, self._subs[-1]):
            self._subs.pop()
            start = self._starts.pop()
        if start is None:
            # It is released into one whose own abort follows, or has sent nothing but, perhaps, logical messages.
            if self._loose is not None:
                self._doubt(self._loose)
            return
        place = start >> 1
        if self._unclear is not None and self._unclear >= place:
            self._unclear = None
        if start & 1:
            # Logical messages before it: they stay, in doubt. Their own first byte is the place, so the cut is behind.
            self._doubt(place)
            place = self._behind_messages(place)
        else:
            self._loose = None
        self._truncate(place)

    def _doubt(self, place: int) -> None:
        self._unclear = place if self._unclear is None else min(self._unclear, place)
        self._loose = place

    def _behind_messages(self, place: int) -> int:
        """Return the end of the run of logical messages (and marks) at a place."""
        end = place
        for kind, body in self._entries(place):
            if kind not in (_MESSAGE, _MARK):
                break
            end += _HEAD.size + len(body)
        return end

    def _truncate(self, place: int) -> None:
        if place >= self._spilled:
            del self._buffer[place - self._spilled :]
            return
        self._buffer.clear()
        assert self._file is not None
        try:
            self._file.truncate(place)
            self._file.seek(place)
        except OSError as error:
            raise _failed(error) from error
        self._spilled = place

    def spill(self) -> None:
        """Move what is in memory to the file.

        Raises:
            CdcError: There is no room, or the folder cannot be written to.
        """
        try:
            if self._file is None:
                # Unbuffered: what is written is written, and a full disk says so here and not at the closing.
                file = TemporaryFile(buffering=0, prefix="headwater-spool-", dir=self._folder)  # noqa: SIM115
                self._file, self._close = file, finalize(self, file.close)
            left = memoryview(self._buffer)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _failed(error) from error
        self._spilled += len(self._buffer)
        self._buffer = bytearray()
        reach(Failpoint.SPILLED)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Give every message in the form of protocol 1, with the order number of its block.

        Raises:
            CdcError: The file cannot be read.
        """
        order = 0
        for kind, body in self._entries(0):
            if kind == _MARK:
                (order,) = _ORDER.unpack(body)
                reach(Failpoint.REPLAYING)
            else:
                yield order, bytes((kind,)) + body

    def _entries(self, place: int) -> Iterator[tuple[int, bytes]]:
        if self._file is not None and place < self._spilled:
            reader = io.BufferedReader(self._file, _READ_BYTES)
            try:
                reader.seek(place)
                yield from _read(reader)
                reader.seek(0, io.SEEK_END)
            except OSError as error:
                raise _failed(error) from error
            finally:
                # It would close the file with itself.
                reader.detach()
            place = self._spilled
        yield from _read(io.BytesIO(memoryview(self._buffer)[place - self._spilled :]))

    def release(self) -> None:
        """Give memory and file back."""
        self._buffer = bytearray()
        del self._subs[:], self._starts[:]
        self._file = None
        self._spilled = 0
        if self._close is not None:
            self._close()


def _read(reader: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    while head := reader.read(_HEAD.size):
        length, kind = _HEAD.unpack(head)
        yield kind, reader.read(length)


def _later(xid: int, other: int) -> bool:
    """Say whether an id was given out after another; they are compared around a circle."""
    return xid != other and (xid - other) & _XIDS < _HALF


def _failed(error: OSError) -> CdcError:
    return CdcError(Kind.SPOOL, f"the spool of a streamed transaction: {error.strerror or error}")
