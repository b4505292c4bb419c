"""Owns the transactions of a simulated database: what they change, in which order they commit, what is due for them.

Transactions overlap, as sessions do: their changes interleave in the log, and they commit in another order than they
began in. What is due is written down here by the rules of docs/cdc.md, not by the code under test.
"""

from dataclasses import dataclass, field
from typing import Final

from cdc.lsn import Lsn
from cdc.pgoutput.messages import Column, Delete, Insert, Message, Relation, ReplicaIdentity, Row, Update
from cdc.records import TopicName
from cdc.simulation.fate import Fate
from cdc.tables import Route, TableName

RAW: Final = TopicName("raw")
AUDIT: Final = TopicName("audit")

_COLUMNS: Final = (Column("id", 25, -1, True), Column("text", 25, -1, True))
_EVENTS, _AUDIT, _IGNORED = 1, 2, 3
RELATIONS: Final = {
    _EVENTS: Relation(_EVENTS, "public", "events", ReplicaIdentity.FULL, _COLUMNS),
    _AUDIT: Relation(_AUDIT, "public", "audit", ReplicaIdentity.FULL, _COLUMNS),
    _IGNORED: Relation(_IGNORED, "public", "ignored", ReplicaIdentity.FULL, _COLUMNS),
}
ROUTES: Final = {
    TableName("public", "events"): Route(RAW, ("id",)),
    TableName("public", "audit"): Route(AUDIT, ("id",)),
}
_TOPICS: Final = {_EVENTS: RAW, _AUDIT: AUDIT}
_TABLES: Final = (_EVENTS, _EVENTS, _EVENTS, _AUDIT, _IGNORED)
_KEYS: Final = ("a", "b", "c", "d")
_MOST_TRANSACTIONS: Final = 7
_MOST_OPEN: Final = 3
FIRST_LSN: Final = Lsn(8)

Key = tuple[TopicName, bytes]
Due = tuple[Key, bytes | None]
"""A record that must be there: topic and key, and the value or a tombstone's None."""


@dataclass(slots=True)
class Transaction:
    """A transaction with its changes in the server's messages, and the records that are due for them, both in order."""

    xid: int
    commit_lsn: Lsn = FIRST_LSN
    end_lsn: Lsn = FIRST_LSN
    changes: list[Insert | Update | Delete] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)

    def messages(self, described: set[int]) -> list[Message]:
        """Return what the server sends between begin and commit; each relation before its first change."""
        messages: list[Message] = []
        for change in self.changes:
            if change.relation_oid not in described:
                described.add(change.relation_oid)
                messages.append(RELATIONS[change.relation_oid])
            messages.append(change)
        return messages


def write_history(fate: Fate) -> list[Transaction]:
    """Return transactions in the order of their commits, their LSNs growing from beyond `FIRST_LSN`."""
    return _Writer(fate).write(fate.below(_MOST_TRANSACTIONS + 1))


class _Writer:
    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._rows: dict[tuple[int, str], str] = {}
        self._locks: dict[tuple[int, str], Transaction] = {}
        self._serial = 0

    def write(self, count: int) -> list[Transaction]:
        """Open, change and commit until so many have committed."""
        below = self._fate.below
        opened: list[Transaction] = []
        committed: list[Transaction] = []
        started, lsn = 0, int(FIRST_LSN)
        while len(committed) < count:
            lsn += 8 * (1 + below(3))
            if not opened or (started < count and len(opened) < _MOST_OPEN and below(2)):
                started += 1
                opened.append(Transaction(700 + started))
            transaction = opened[below(len(opened))]
            if transaction.changes and below(3) == 0:
                transaction.commit_lsn, transaction.end_lsn = Lsn(lsn), Lsn(lsn + 8)
                lsn += 8
                opened.remove(transaction)
                committed.append(transaction)
                self._locks = {key: holder for key, holder in self._locks.items() if holder is not transaction}
            else:
                self._change(transaction)
        return committed

    def _change(self, transaction: Transaction) -> None:
        fate = self._fate
        oid = _TABLES[fate.below(len(_TABLES))]
        # A row that an open transaction has changed is locked for every other.
        free = [key for key in _KEYS if self._locks.get((oid, key), transaction) is transaction]
        if oid == _IGNORED or not free:
            transaction.changes.append(Insert(_IGNORED, ("x", "x")))
            return
        key = free[fate.below(len(free))]
        self._serial += 1
        text, old_text = str(self._serial), self._rows.get((oid, key))
        self._locks[oid, key] = transaction
        if old_text is None:
            transaction.changes.append(Insert(oid, self._put(oid, key, text)))
            transaction.due.append(_due(oid, key, text, "c"))
            return
        old: Row = (key, old_text)
        match fate.below(4):
            case 0 | 1:
                transaction.changes.append(Update(oid, old, False, self._put(oid, key, text)))
                transaction.due.append(_due(oid, key, text, "u"))
            case 2:
                del self._rows[oid, key]
                transaction.changes.append(Delete(oid, old, False))
                transaction.due += [_due(oid, key, old_text, "d"), _tombstone(oid, key)]
            case _:
                self._move(transaction, oid, key, [each for each in free if (oid, each) not in self._rows])

    def _move(self, transaction: Transaction, oid: int, key: str, targets: list[str]) -> None:
        """Change a row's key, if there is a free one; otherwise its text alone."""
        text, old_text = str(self._serial), self._rows[oid, key]
        target = targets[0] if targets else key
        if targets:
            del self._rows[oid, key]
            self._locks[oid, target] = transaction
            transaction.due += [_due(oid, key, old_text, "d"), _tombstone(oid, key), _due(oid, target, text, "c")]
        else:
            transaction.due.append(_due(oid, key, text, "u"))
        transaction.changes.append(Update(oid, (key, old_text), False, self._put(oid, target, text)))

    def _put(self, oid: int, key: str, text: str) -> Row:
        self._rows[oid, key] = text
        return (key, text)


def _due(oid: int, key: str, text: str, operation: str) -> Due:
    deleted = "true" if operation == "d" else "false"
    name = RELATIONS[oid].name
    value = (
        f'{{"id":"{key}","text":"{text}","__deleted":"{deleted}","__op":"{operation}","__table":"{name}","__ts_ms":0}}'
    )
    return (_TOPICS[oid], b'{"id":"%s"}' % key.encode()), value.encode()


def _tombstone(oid: int, key: str) -> Due:
    return (_TOPICS[oid], b'{"id":"%s"}' % key.encode()), None
