"""Owns what a slot still holds of what the topic already has: how much a successor repeats, and how to avoid it.

Debezium confirms to the server the commit *before* the last record that Connect stored, so its last transaction would
always come again. What the slot still holds is looked at here without consuming it, and a transaction that is there to
its last change can be confirmed in Debezium's stead. What was cut off in the middle of a transaction is repeated: a
slot can only be confirmed between transactions.
Source of facts: PostgreSQL manual, `pg_logical_slot_peek_binary_changes`, `pg_replication_slot_advance`; logical
replication message formats; Debezium 3.7, `PostgresOffsetContext`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from psycopg import Connection

from cdc.errors import CdcError, Kind
from cdc.lsn import STEPS, Lsn, Position, parse_lsn
from cdc.postgres import translated
from cdc.settings import Settings

_PEEK: Final = """
SELECT lsn::text, xid::text::bigint, chr(get_byte(data, 0)),
       CASE WHEN get_byte(data, 0) = 67 THEN encode(substring(data FROM 3 FOR 16), 'hex') END
  FROM pg_logical_slot_peek_binary_changes(%s, NULL, %s, 'proto_version', '1', 'publication_names', %s)
 WHERE get_byte(data, 0) IN (67, 68, 73, 85)
"""
_FIRST_LOOK: Final = 1_000
_WIDEST_LOOK: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """An insert, update or delete that the slot still holds."""

    lsn: Lsn
    xid: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """A committed transaction that the slot still holds."""

    commit: Lsn
    """Where its commit begins: the LSN in our positions."""
    end: Lsn
    """Behind its commit: what a slot is confirmed to."""
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far Debezium came, by the offset that Connect stored with the last record that Kafka acknowledged."""

    lsn: Lsn
    """The change or commit that it saw last."""
    xid: int | None
    commit: Lsn
    """The end of the last commit before that; everything up to it was sent."""
    snapshot: bool
    """Whether its initial snapshot is not complete."""

    @classmethod
    def of(cls, offset: dict[str, Any]) -> Self | None:
        """Return the progress in a stored offset, None for an empty one.

        Raises:
            CdcError: CONNECTOR, the offset is of no form that we know.
        """
        if not offset:
            return None
        try:
            lsn, commit, xid = int(offset["lsn"]), int(offset.get("lsn_commit") or 0), offset.get("txId")
            unfinished = bool(offset.get("snapshot")) and not offset.get("last_snapshot_record")
            return cls(Lsn(lsn), None if xid is None else int(xid), Lsn(commit), unfinished)
        except (KeyError, TypeError, ValueError) as error:
            raise CdcError(Kind.CONNECTOR, f"the stored offset has no LSN: {sorted(offset)}") from error

    @property
    def reached(self) -> Lsn:
        """The LSN beyond which Debezium has confirmed nothing: it stores its offset first."""
        return max(self.lsn, self.commit)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Up to where the slot may be confirmed, and how many changes beyond that the topic has all the same."""

    confirmed: Lsn
    repeated: int


def settle(held: Sequence[Transaction], progress: Progress, confirmed: Lsn) -> Settlement:
    """Say what of the slot's transactions Debezium has sent; whatever is in doubt counts as to be sent again.

    Args:
        held: What the slot still holds, in the order of commits.
        progress: Debezium's.
        confirmed: The slot's confirmed LSN.
    """
    for transaction in held:
        if transaction.end <= progress.commit:
            confirmed = max(confirmed, transaction.end)
            continue
        seen = [
            number
            for number, change in enumerate(transaction.changes, 1)
            if change == Change(progress.lsn, progress.xid or 0)
        ]
        # Rows of one COPY may share an LSN: then it is not known which of them was the last.
        if seen == [len(transaction.changes)]:
            return Settlement(max(confirmed, transaction.end), 0)
        return Settlement(confirmed, seen[-1] if seen else 0)
    return Settlement(confirmed, 0)


def overlap(held: Sequence[Transaction], last: Position) -> int:
    """Return how many changes that the slot still holds our own engine has sent, by its last position in the topic."""
    whole = sum(len(each.changes) for each in held if each.commit < last.lsn)
    cut = next((each for each in held if each.commit == last.lsn), None)
    return whole + (min(len(cut.changes), last.ordinal // STEPS + 1) if cut is not None else 0)


def peek(connection: Connection[Any], settings: Settings, until: Lsn) -> tuple[Transaction, ...]:
    """Return the transactions that the slot still holds, at least to the first that commits behind `until`.

    Nothing is consumed. The slot must not be in use.

    Raises:
        DatabaseError: The slot is in use, or the connection is lost.
    """
    look = _FIRST_LOOK
    while True:
        with translated():
            given = (settings.slot_name, look, settings.publication_name)
            rows: Any = connection.execute(_PEEK, given).fetchall()
        held = _transactions(rows)
        if len(rows) < look // 2 or look >= _WIDEST_LOOK or (held and held[-1].commit > until):
            return held
        look *= 10


def advance(connection: Connection[Any], settings: Settings, lsn: Lsn) -> None:
    """Confirm the slot up to the end of a transaction.

    Raises:
        DatabaseError: The slot is in use, or the connection is lost.
    """
    with translated():
        connection.execute("SELECT pg_replication_slot_advance(%s, '0/0'::pg_lsn + %s)", (settings.slot_name, int(lsn)))


def _transactions(rows: Sequence[tuple[str, int, str, str | None]]) -> tuple[Transaction, ...]:
    found: list[Transaction] = []
    changes: list[Change] = []
    for lsn, xid, _kind, commit in rows:
        if commit is None:
            changes.append(Change(parse_lsn(lsn), int(xid)))
        else:
            found.append(Transaction(Lsn(int(commit[:16], 16)), Lsn(int(commit[16:], 16)), tuple(changes)))
            changes = []
    return tuple(found)
