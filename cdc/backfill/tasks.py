"""Owns what the loop asks of the reader of a job, and the answers. Does none of it.

The port between them is two queues: the loop submits and polls, and never waits. What is submitted is done in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from cdc.backfill.messages import Cancel, End, Job, KeyTexts, Mark, Notice, Read, Request, State
from cdc.backfill.query import ReadRow
from cdc.backfill.window import Snapshot
from cdc.catalog import Table


@dataclass(frozen=True, slots=True)
class Emit:
    """Write a message into the WAL, and tell those who listen. No answer when it went well: the stream shows it."""

    number: int
    message: Request | Cancel | Mark | State | Read | End
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """Look what a job has to do in this life; answered by `Opened`."""

    number: int
    job: Job


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """Read the next rows of a job, then write `Read`; answered by `Chunk`, before that message is written."""

    number: int
    job: Job
    limit: int
    boundaries: tuple[KeyTexts, ...]
    avoid: frozenset[int]
    """Transactions that may not be running in the chunk's snapshot."""


Task: TypeAlias = Emit | Open | ReadChunk


@dataclass(frozen=True, slots=True)
class Opened:
    """What a job has to do: up to which key, None if there is no row; what partitions hold; who writes just now."""

    number: int
    upper: KeyTexts | None
    covered: Mapping[int, KeyTexts]
    writers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows in the order of the key, as one snapshot saw them, with a flag for each boundary asked for."""

    number: int
    table: Table
    rows: list[ReadRow]
    snapshot: Snapshot
    finished: bool
    """There are no more rows behind these."""

    def keys(self) -> list[KeyTexts]:
        """Return the key texts of each row."""
        index_of = {column.name: index for index, column in enumerate(self.table.columns)}
        order = [index_of[name] for name in self.table.order]
        return [tuple(str(row[index]) for index in order) for row, _ in self.rows]

    @property
    def size(self) -> int:
        """The bytes of the values, as text."""
        return sum(len(value) for row, _ in self.rows for value in row if isinstance(value, str))


@dataclass(frozen=True, slots=True)
class Later:
    """The chunk cannot be read yet: transactions to avoid are still running."""

    number: int
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Failed:
    """The task could not be done."""

    number: int
    error: str
    passing: bool
    """It may pass by itself: a lost connection, not a missing table."""


Answer: TypeAlias = Opened | Chunk | Later | Failed


class Reader(Protocol):
    """Who reads the database for the loop."""

    def submit(self, task: Task) -> None:
        """Take a task; returns at once."""

    def poll(self) -> Answer | None:
        """Return the next answer, None if there is none yet."""
