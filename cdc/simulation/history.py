"""Owns the transactions of a simulated database: what they change, in which order they commit, what is due for them.

Transactions overlap, as sessions do: their changes interleave in the log, and they commit in another order than they
began in. Logical messages outside of any transaction stand between their commits. Records of the log may touch: where
one ends the next one begins.
"""

from dataclasses import dataclass, field
from typing import Final

from cdc.lsn import Lsn
from cdc.pgoutput.messages import Delete, Insert, LogicalMessage, Message, Row, Truncate, Update
from cdc.simulation import due
from cdc.simulation.due import AUDITS, EVENTS, IGNORED, PREFIX, RELATIONS, Due
from cdc.simulation.fate import Fate
from cdc.simulation.ingredients import Ingredients
from cdc.simulation.letters import LARGE, POISON
from cdc.simulation.wire import Change, relations_of, sent

_TABLES: Final = (EVENTS, EVENTS, EVENTS, AUDITS, IGNORED)
_TRUNCATED: Final = ((EVENTS,), (EVENTS, AUDITS), (IGNORED, EVENTS), (AUDITS,))
_KEYS: Final = ("a", "b", "c", "d")
_MOST_TRANSACTIONS: Final = 7
_MOST_OPEN: Final = 3
FIRST_LSN: Final = Lsn(8)


@dataclass(slots=True)
class Transaction:
    """A transaction with its changes in the server's messages, and the records that are due for them, both in order.

    One that is `single` is no transaction: its only change is a message that stands in the log by itself.
    """

    xid: int
    commit_lsn: Lsn = FIRST_LSN
    end_lsn: Lsn = FIRST_LSN
    changes: list[Change] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    single: bool = False

    def messages(self, described: set[int]) -> list[Message]:
        """Return what the server sends between begin and commit; each relation before its first change."""
        messages: list[Message] = []
        for change in self.changes:
            for oid in relations_of(change):
                if oid not in described:
                    described.add(oid)
                    messages.append(RELATIONS[oid])
            messages.append(change)
        return messages


def write_history(fate: Fate, ingredients: Ingredients) -> list[Transaction]:
    """Return transactions in the order of their commits, their LSNs growing from `FIRST_LSN` on."""
    return _Writer(fate, ingredients).write(fate.below(_MOST_TRANSACTIONS + 1))


class _Writer:
    def __init__(self, fate: Fate, ingredients: Ingredients) -> None:
        self._fate = fate
        self._has = ingredients
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
            # At its kindest there is room between two records of the log; at its worst there is none.
            lsn += 8 * (3 - below(4))
            if self._has.messages and self._fate.rarely(6):
                committed.append(self._message(Lsn(lsn)))
                lsn += 8
                continue
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
            elif self._has.messages and self._fate.rarely(4):
                self._tell(transaction, True, Lsn(lsn))
            elif not (self._has.truncations and self._fate.rarely(6) and self._truncate(transaction)):
                self._change(transaction)
        return committed

    def _message(self, lsn: Lsn) -> Transaction:
        alone = Transaction(0, lsn, Lsn(lsn + 8), single=True)
        # The server gives such a message the LSN at which its record ends.
        self._tell(alone, False, alone.end_lsn)
        return alone

    def _tell(self, transaction: Transaction, transactional: bool, lsn: Lsn) -> None:  # the message's
        self._serial += 1
        aggregate = (None, "k", "l")[self._fate.below(3)]
        large = LARGE[0] if self._has.letters and self._fate.rarely(4) else ""
        content, record = due.message(aggregate, f"{self._serial}{large}")
        asked_for = not self._fate.rarely(4)
        transaction.changes.append(LogicalMessage(transactional, lsn, PREFIX if asked_for else "other", content))
        if asked_for:
            transaction.due.append(_fitting(record))

    def _truncate(self, transaction: Transaction) -> bool:
        """Empty some tables, unless somebody else has rows of them locked; return whether it could be done."""
        oids = _TRUNCATED[self._fate.below(len(_TRUNCATED))]
        if any(oid in oids and holder is not transaction for (oid, _), holder in self._locks.items()):
            return False
        transaction.changes.append(Truncate(oids, False, False))
        transaction.due += [due.truncation(oid) for oid in oids if oid != IGNORED]
        self._locks.update({(oid, key): transaction for oid in oids for key in _KEYS})
        self._rows = {place: text for place, text in self._rows.items() if place[0] not in oids}
        return True

    def _change(self, transaction: Transaction) -> None:
        fate = self._fate
        oid = _TABLES[fate.below(len(_TABLES))]
        # A row that an open transaction has changed is locked for every other.
        free = [key for key in _KEYS if self._locks.get((oid, key), transaction) is transaction]
        if oid == IGNORED or not free:
            transaction.changes.append(Insert(IGNORED, ("x", "x")))
            return
        key = free[fate.below(len(free))]
        text, old_text = self._text(), self._rows.get((oid, key))
        self._locks[oid, key] = transaction
        if old_text is None:
            _note(transaction, Insert(oid, self._put(oid, key, text)), key, [due.row(oid, key, text, "c")])
            return
        old: Row = (key, old_text)
        match fate.below(4):
            case 0 | 1:
                change = Update(oid, old, False, self._put(oid, key, text))
                _note(transaction, change, key, [due.row(oid, key, text, "u")])
            case 2:
                del self._rows[oid, key]
                gone = [due.row(oid, key, old_text, "d"), due.tombstone(oid, key)]
                _note(transaction, Delete(oid, old, False), key, gone)
            case _:
                self._move(transaction, oid, key, [each for each in free if (oid, each) not in self._rows])

    def _move(self, transaction: Transaction, oid: int, key: str, targets: list[str]) -> None:
        """Change a row's key, if there is a free one; otherwise its text alone."""
        text, old_text = self._text(), self._rows[oid, key]
        target = targets[0] if targets else key
        records = [due.row(oid, key, text, "u")]
        if targets:
            del self._rows[oid, key]
            self._locks[oid, target] = transaction
            gone = [due.row(oid, key, old_text, "d"), due.tombstone(oid, key)]
            records = [*gone, due.row(oid, target, text, "c")]
        change = Update(oid, (key, old_text), False, self._put(oid, target, text))
        _note(transaction, change, target, records)

    def _text(self) -> str:
        """Return a text that no row had before, at times one that no record can hold or that makes it too large."""
        self._serial += 1
        if self._has.letters and self._fate.rarely(4):
            kinds = (*LARGE, POISON)
            return f"{self._serial}{kinds[self._fate.below(len(kinds))]}"
        return str(self._serial)

    def _put(self, oid: int, key: str, text: str) -> Row:
        self._rows[oid, key] = text
        return (key, text)


def _note(transaction: Transaction, change: Insert | Update | Delete, key: str, records: list[Due]) -> None:
    """Add a change with the records that are due for it, or the letters that are due in their place."""
    transaction.changes.append(change)
    if any(_holds(record, POISON) for record in records):
        # One record that cannot be is the end of them all: they are one change.
        transaction.due.append(due.unencodable(change.relation_oid, key, sent(change)))
    else:
        transaction.due += [_fitting(record) for record in records]


def _fitting(record: Due) -> Due:
    """Return the record, or its letter if its topic does not take it."""
    return due.too_large(record) if _holds(record, LARGE[0]) else record


def _holds(record: Due, text: str) -> bool:
    return record.value is not None and text.encode("utf-8", "surrogateescape") in record.value
