"""Owns which records are due for what a simulated database does, by the rules of docs/cdc.md.

Written down a second time, not with the code under test: this is the oracle. A dead letter is due as one entry, however
many parts it has, see `cdc.simulation.letters`.
"""

from typing import Final, NamedTuple

from cdc.pgoutput.messages import Column, Relation, ReplicaIdentity
from cdc.records import TopicName
from cdc.tables import Route, TableName

RAW: Final = TopicName("raw")
AUDIT: Final = TopicName("audit")
OUTBOX: Final = TopicName("outbox")
DEAD: Final = TopicName("dead")

_COLUMNS: Final = (Column("id", 25, -1, True), Column("text", 25, -1, True))
EVENTS, AUDITS, IGNORED = 1, 2, 3
RELATIONS: Final = {
    EVENTS: Relation(EVENTS, "public", "events", ReplicaIdentity.FULL, _COLUMNS),
    AUDITS: Relation(AUDITS, "public", "audit", ReplicaIdentity.FULL, _COLUMNS),
    IGNORED: Relation(IGNORED, "public", "ignored", ReplicaIdentity.FULL, _COLUMNS),
}
ROUTES: Final = {
    TableName("public", "events"): Route(RAW, ("id",)),
    TableName("public", "audit"): Route(AUDIT, ("id",)),
}
TOPICS: Final = {EVENTS: RAW, AUDITS: AUDIT}

PREFIX: Final = "outbox"
"""The prefix of messages that are routed."""


class Due(NamedTuple):
    """A record, or a whole dead letter, that must be there: key, and value or a tombstone's None."""

    topic: TopicName
    key: bytes
    value: bytes | None
    everywhere: bool = False
    """Whether it is due in every partition of its topic, not only in that of its key."""


def row(oid: int, key: str, text: str, operation: str) -> Due:
    """Return the record of a row as it is now, or was."""
    deleted = "true" if operation == "d" else "false"
    name = RELATIONS[oid].name
    value = (
        f'{{"id":"{key}","text":"{text}","__deleted":"{deleted}","__op":"{operation}","__table":"{name}","__ts_ms":0}}'
    )
    return Due(TOPICS[oid], _key(key), value.encode("utf-8", "surrogateescape"))


def tombstone(oid: int, key: str) -> Due:
    """Return what follows a deletion."""
    return Due(TOPICS[oid], _key(key), None)


def unencodable(oid: int, key: str, change: bytes) -> Due:
    """Return the letter of a change that no record can hold: it is kept as the server sent it."""
    return Due(DEAD, _key(key), b"unencodable %s %s" % (TOPICS[oid].encode(), change))


def too_large(record: Due) -> Due:
    """Return the letter of a record that its topic does not take."""
    return Due(DEAD, record.key, b"too_large %s %s" % (record.topic.encode(), record.value))


def truncation(oid: int) -> Due:
    """Return the record by which every partition learns that a table's rows are gone."""
    name = RELATIONS[oid].name
    value = f'{{"id":null,"text":null,"__deleted":"false","__op":"t","__table":"{name}","__ts_ms":0}}'
    return Due(TOPICS[oid], b'{"__truncated":"public.%s"}' % name.encode(), value.encode(), everywhere=True)


def message(aggregate: str | None, text: str) -> tuple[bytes, Due]:
    """Return the content of a message, and its record: an outbox event of an aggregate, or a content as it is."""
    if aggregate is None:
        return text.encode(), Due(OUTBOX, PREFIX.encode(), text.encode())
    event = f'{{"id":"{text}","aggregatetype":"letter","aggregateid":"{aggregate}","payload":"{text}"}}'
    return event.encode(), Due(OUTBOX, aggregate.encode(), text.encode())


def _key(key: str) -> bytes:
    return b'{"id":"%s"}' % key.encode()
