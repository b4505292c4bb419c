"""Owns the chunks of one job in one life: how large, between which watermarks, what they leave to be sent. Sans I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from cdc.backfill.messages import Job, KeyTexts, Request
from cdc.backfill.query import CHUNK_BYTES
from cdc.backfill.rows import chunk_records
from cdc.backfill.tasks import Chunk, Opened, ReadChunk
from cdc.backfill.window import Window
from cdc.capture import Capture
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Message
from cdc.records import Record, TopicName

_FIRST_ROWS: Final = 100
_MOST_ROWS: Final = 2000
_FASTER: Final = 4


class Course:
    """The way through a table, chunk by chunk."""

    def __init__(self, opened: Opened) -> None:
        """Begin with a small chunk; the next are about a megabyte each."""
        self._covered = dict(opened.covered)
        self._limit = _FIRST_ROWS
        self._window: Window | None = None
        self._chunk: Chunk | None = None
        self._last: KeyTexts | None = None
        self._sent = self._held = 0
        self.finished = False
        """Whether the chunk under way is the last one."""

    def open_window(self, number: int, job: Job, avoid: frozenset[int]) -> ReadChunk:
        """Return the task of reading the next chunk; from now on the changes of the stream count against it."""
        self._window, self._chunk = Window(), None
        return ReadChunk(number, job, self._limit, tuple(self._covered.values()), avoid)

    def abandon(self) -> None:
        """Forget the chunk under way."""
        self._window = self._chunk = None

    def saw(self, xid: int, message: Message, records: Sequence[Record]) -> None:
        """Take in what the stream shows."""
        if self._window is not None:
            self._window.note(xid, message, records)

    def took(self, chunk: Chunk) -> None:
        """Take in the rows that were read."""
        self._chunk = chunk

    def close_window(
        self, capture: Capture, lsn: Lsn, request: Request, partitions: Mapping[TopicName, int]
    ) -> list[Record] | None:
        """Return what is to be sent of the chunk at the place of its high watermark; None if it must be read again.

        Raises:
            CdcError: A row does not fit its table.
        """
        window, chunk = self._window, self._chunk
        self.abandon()
        if window is None or chunk is None or window.overrun:
            return None
        covered = list(self._covered.items())
        found = chunk_records(capture, chunk, window, lsn, request, covered, partitions)
        if found is None:
            # A smaller chunk has a shorter window.
            self._limit = max(1, len(chunk.rows) // _FASTER)
            return None
        records, sent, held = found
        rows = chunk.rows
        self._sent, self._held, self.finished = sent, held, chunk.finished
        if rows:
            self._last = chunk.keys()[-1]
            passed = rows[-1][1]
            self._covered = {place: key for (place, key), beyond in zip(covered, passed, strict=True) if not beyond}
            fitting = CHUNK_BYTES * len(rows) // max(1, chunk.size)
            self._limit = max(1, min(_MOST_ROWS, _FASTER * self._limit, fitting))
        return records

    def delivered(self, job: Job, at: Lsn, seconds: float) -> tuple[Job, int]:
        """Return the job as it stands when Kafka has the chunk, and the rows that were sent; `at` lies behind it."""
        # As long as a partition holds rows of an earlier life beyond `last`, they are to be found again.
        read_from = job.read_from if self._covered else at
        last = job.last if self._last is None else self._last
        rows, seconds = job.rows + self._sent + self._held, job.seconds + seconds
        return replace(job, last=last, rows=rows, seconds=seconds, read_from=read_from), self._sent
