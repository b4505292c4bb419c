"""Owns the bytes of what the simulated server sends within a block; a message of its own kind outside of any.

Source of facts: PostgreSQL manual, "Logical Replication Message Formats".
"""

from struct import pack
from typing import TypeAlias

from cdc.pgoutput.messages import Delete, Insert, LogicalMessage, Relation, Row, Streamed, Truncate, Update

Change: TypeAlias = Insert | Update | Delete | Truncate | LogicalMessage
"""What a simulated transaction does."""


def relations_of(change: Change) -> tuple[int, ...]:
    """Return the relations that must be described before a change."""
    match change:
        case LogicalMessage():
            return ()
        case Truncate(oids):
            return oids
        case _:
            return (change.relation_oid,)


def streamed(xid: int, message: Relation | Change) -> Streamed:
    """Return a message as a block carries it."""
    kind, body = _parts(message)
    return Streamed(xid, ord(kind), body)


def sent(change: Change) -> bytes:
    """Return a change as it is sent outside of a block."""
    kind, body = _parts(change)
    return kind + body


def _parts(message: Relation | Change) -> tuple[bytes, bytes]:
    match message:
        case Insert(oid, new):
            return b"I", pack("!I", oid) + b"N" + _row(new)
        case Delete(oid, old, _):
            return b"D", pack("!I", oid) + b"O" + _row(old)
        case Update(oid, old, _, new):
            before = b"" if old is None else b"O" + _row(old)
            return b"U", pack("!I", oid) + before + b"N" + _row(new)
        case Truncate(oids, _, _):
            return b"T", pack("!IB", len(oids), 0) + b"".join(pack("!I", oid) for oid in oids)
        case LogicalMessage(transactional, lsn, prefix, content):
            return b"M", pack("!BQ", transactional, lsn) + prefix.encode() + b"\0" + pack("!I", len(content)) + content
        case Relation(oid, schema, name, identity, columns):
            names = f"{schema}\0{name}\0{identity.value}".encode()
            described = b"".join(
                b"%c%s\0" % (each.is_key, each.name.encode()) + pack("!Ii", each.type_oid, each.type_modifier)
                for each in columns
            )
            return b"R", pack("!I", oid) + names + pack("!H", len(columns)) + described


def _row(row: Row) -> bytes:
    texts = [str(value).encode("utf-8", "surrogateescape") for value in row]
    return pack("!H", len(texts)) + b"".join(b"t" + pack("!i", len(text)) + text for text in texts)
