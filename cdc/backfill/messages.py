"""Owns the messages that make an incremental snapshot, as they stand in the WAL: JSON under one prefix. Sends none.

They are the only state there is. All are emitted outside of any transaction, so that the stream shows each where it
stands in the WAL: behind every commit that was written before it, ahead of every later one.

    request, cancel   from `headwater cdc snapshot`
    mark              an engine took the slot: what stands before it was written by others
    state             every job that is not over and how far each is; the low watermark of a chunk
    read              a chunk was read; its high watermark
    end               a job is over, and how

Source of facts: PostgreSQL manual, `pg_logical_emit_message`; "Logical Replication Message Formats", Message.
"""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from cdc.lsn import Lsn
from cdc.tables import TableName

PREFIX: Final = "headwater.cdc.snapshot"
"""The engine's own messages bear this prefix; nobody else's may."""
CHANNEL: Final = "headwater_cdc_snapshot"
"""Where progress is told to whoever listens (LISTEN/NOTIFY)."""

KeyTexts: TypeAlias = tuple[str, ...]


@unique
class Outcome(Enum):
    """How a job stands, or how it ended."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    """For transactions that write to the table and were there before the job."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({Outcome.DONE, Outcome.FAILED, Outcome.CANCELLED})


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody wants the rows of a table sent, or those that a condition picks.

    `replay` marks the records as sent again, with the header `cdc.replay`.
    """

    id: str
    slot: str
    table: TableName
    where: str | None = None
    replay: bool = False
    kind: Literal["request"] = "request"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody wants a job ended; `target` is a request's id, or a table for all of its jobs."""

    slot: str
    target: str
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True)
class Mark:
    """The engine of this life has begun to work: every message before this one is from an earlier life."""

    slot: str
    life: str
    kind: Literal["mark"] = "mark"


@dataclass(frozen=True, slots=True)
class Job:
    """A request and how far it is: Kafka has every row up to and with the key `last`."""

    request: Request
    asked_at: Lsn
    """The LSN of the request."""
    read_from: Lsn
    """Rows of this job behind `last` that are in the topic already stand at this LSN or behind it."""
    last: KeyTexts | None = None
    upper: KeyTexts | None = None
    """The greatest key when the job began; later rows come by the stream."""
    rows: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """Every job that is not over, the one at work first; chunk `number` of this life is read behind this message."""

    slot: str
    life: str
    number: int
    jobs: tuple[Job, ...]
    kind: Literal["state"] = "state"


@dataclass(frozen=True, slots=True)
class Read:
    """Chunk `number` of this life was read before this message."""

    slot: str
    life: str
    number: int
    kind: Literal["read"] = "read"


@dataclass(frozen=True, slots=True)
class End:
    """A job is over; when it is `done`, Kafka has every row."""

    slot: str
    request: str
    outcome: Outcome
    rows: int
    seconds: float
    error: str | None = None
    kind: Literal["end"] = "end"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told to those who listen: never more than a notification's 8000 bytes."""

    slot: str
    request: str
    outcome: Outcome
    rows: int
    seconds: float
    error: str | None = None


Told: TypeAlias = Annotated[Request | Cancel | Mark | State | Read | End, Field(discriminator="kind")]
_TOLD: Final[TypeAdapter[Request | Cancel | Mark | State | Read | End]] = TypeAdapter(Told)
_NOTICE: Final = TypeAdapter(Notice)


def encode(message: Request | Cancel | Mark | State | Read | End) -> str:
    """Return the content of a message."""
    return _TOLD.dump_json(message).decode()


def decode(content: bytes) -> Request | Cancel | Mark | State | Read | End:
    """Return what the content of a message says.

    Raises:
        ValueError: It is none of ours; the text quotes nothing of it.
    """
    try:
        return _TOLD.validate_json(content)
    except ValidationError as error:
        raise ValueError(f"not a snapshot message: {error.error_count()} faults") from None


def encode_notice(notice: Notice) -> str:
    """Return the payload of a notification."""
    return _NOTICE.dump_json(notice).decode()


def decode_notice(payload: str) -> Notice:
    """Return what a notification says.

    Raises:
        ValueError: It is none of ours.
    """
    try:
        return _NOTICE.validate_json(payload)
    except ValidationError as error:
        raise ValueError("not a notice of the snapshot") from error
