"""Owns the comparison: which record of the one engine answers which of the other, and in what the two differ.

Changes are paired by table and transaction; within it our position tells the order, and Debezium's LSN. Judges no
difference: `differences` does.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.cdc.conformance.engines import Sent

MISSING: Final = object()
"""What a side has where it has nothing, not even null."""
TOMBSTONE: Final = "tombstone"
_ROW_PARTS: Final = ("before", "after")
_READ_AT: Final = {"__ts_ms", "ts_ms", "ts_us", "ts_ns"}
"""When an engine read the change: each has its own, but in `source` of a change, where it is the commit's."""
_SNAPSHOTS_OWN: Final = {*_READ_AT, "lsn", "sequence"}
"""Where an engine's snapshot was taken: each took its own."""
_RANK: Final = {"d": 0, TOMBSTONE: 1, "c": 2}
"""The order of the records that one change of a key gives: they share an LSN."""


@dataclass(frozen=True)
class Record:
    """A record and its place: the table and the transaction (None: a snapshot) that it is of."""

    table: str
    xid: int | None
    operation: str
    sent: Sent
    order: tuple[Any, ...]
    """Within the transaction."""

    @property
    def key(self) -> Any:
        """The key's columns, None without a key."""
        return None if self.sent.key is None else json.loads(self.sent.key)

    def row(self, *, enveloped: bool) -> dict[str, Any]:
        """Return the columns of a row that exists."""
        value = self.sent.value or {}
        return (value["after"] or {}) if enveloped else value


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two records, or between what a transaction gave."""

    table: str
    operation: str
    part: str
    """`records`, `key`, `value`, `before`, `after`, `source`, `envelope`, `header`, `partition`, `order` or `task`."""
    field: str
    type: str
    """The column's, empty where it is none."""
    theirs: Any
    ours: Any


def placed(sent: Iterable[Sent], *, native: bool, enveloped: bool) -> list[Record]:
    """Return the records of a topic, each with its place; a tombstone has that of the deletion before it."""
    found: list[Record] = []
    last: dict[int, Record] = {}
    for each in sent:
        if each.value is None:
            gone = last[each.partition]
            assert (gone.sent.key, gone.operation) == (each.key, "d"), each
            order = (gone.order[0], _RANK[TOMBSTONE], gone.order[2])
            made = Record(gone.table, gone.xid, TOMBSTONE, each, order)
        else:
            source = each.value["source"] if enveloped else None
            operation = each.value["op" if enveloped else "__op"]
            table = source["table"] if source else each.value["__table"]
            if native:
                xid, place = each.headers.get("cdc.xid"), each.headers["cdc.position"].rsplit(b"/", 1)[1]
            elif source:
                xid, place = source["txId"], source["lsn"]
            else:
                xid, place = each.headers["__source_txId"], each.headers["__source_lsn"]
            order = (int(place), _RANK.get(operation, 0), each.key or b"")
            made = Record(table, None if operation == "r" else int(xid), operation, each, order)
        last[each.partition] = made
        found.append(made)
    return found


class Comparison:
    """What both engines wrote into two topics, in pairs, and every difference.

    Args:
        theirs: Debezium's records.
        ours: Our own engine's.
        types: The type of each table's columns.
        enveloped: Whether values are envelopes.
    """

    def __init__(
        self,
        theirs: Iterable[Sent],
        ours: Iterable[Sent],
        types: Mapping[tuple[str, str], str],
        *,
        enveloped: bool,
    ) -> None:
        self._types = types
        self._enveloped = enveloped
        self.pairs: list[tuple[Record, Record]] = []
        self.differences: list[Difference] = []
        sides = [
            _transactions(placed(sent, native=native, enveloped=enveloped))
            for sent, native in ((theirs, False), (ours, True))
        ]
        for place in sides[0].keys() | sides[1].keys():
            self._compare(place, *(side.get(place, []) for side in sides))

    def disorder(self) -> list[tuple[Record, Record]]:
        """Return the pairs that stand before an earlier change in a partition of either engine's."""
        found, last = [], defaultdict[tuple[int, int], int](int)
        for pair in sorted(self.pairs, key=lambda pair: _position(pair[1])):
            for side, record in enumerate(pair):
                place = (side, record.sent.partition)
                # Of a snapshot's rows only that they come before every change: their order is the engine's own.
                if record.xid is not None and record.sent.offset < last[place]:
                    found.append(pair)
                last[place] = max(last[place], record.sent.offset)
        return found

    def _compare(self, place: tuple[str, int | None], theirs: list[Record], ours: list[Record]) -> None:
        table, xid = place
        if xid is None:
            theirs, ours = self._by_row(theirs, ours)
        same = [each.operation for each in theirs] == [each.operation for each in ours]
        if same:
            pairs = list(zip(theirs, ours, strict=True))
        else:
            said = [[each.operation for each in side] for side in (theirs, ours)]
            self._note(table, said[0][-1] if said[0] else said[1][-1], "records", "", *said)
            # What is there on both sides: the rows of a snapshot; of a change the row as it is in the end.
            pairs = (
                list(zip(theirs, ours, strict=False))
                if xid is None
                else list(zip(theirs[-1:], ours[-1:], strict=False))
            )
        for their, our in pairs:
            self.pairs.append((their, our))
            self._compare_records(their, our, same=same)

    def _by_row(self, theirs: list[Record], ours: list[Record]) -> tuple[list[Record], list[Record]]:
        """Bring the rows of a snapshot, which each engine reads in an order of its own, into one; extra ones last.

        Rows belong together by their first column; of several, by most of the others.
        """
        left, found, alone = list(theirs), [], []
        for our in ours:
            row = our.row(enveloped=self._enveloped)
            alike = [(_alike(each.row(enveloped=self._enveloped), row), index) for index, each in enumerate(left)]
            best, index = max(alike, default=((False, 0), 0))
            if best[0]:
                found.append((left.pop(index), our))
            else:
                alone.append(our)
        return [*(their for their, _ in found), *left], [*(our for _, our in found), *alone]

    def _compare_records(self, their: Record, our: Record, *, same: bool) -> None:
        self._compare_keys(their, our)
        names = {name for each in (their, our) for name in each.sent.headers if name.startswith("__debezium")}
        for name in sorted(names):
            self._field(our.table, our.operation, "header", name, _header(their, name), _header(our, name))
        if their.sent.value is not None and our.sent.value is not None:
            # What the one calls an update may be a deletion and a creation to the other.
            left_out = () if same or our.operation == "r" else ("__op", "op", "before")
            sides = [
                {name: each for name, each in value.items() if name not in left_out}
                for value in (their.sent.value, our.sent.value)
            ]
            self._compare_values(our.table, our.operation, *sides)

    def _compare_keys(self, their: Record, our: Record) -> None:
        table, operation = our.table, our.operation
        if their.sent.key == our.sent.key:
            self._field(table, operation, "partition", "", their.sent.partition, our.sent.partition)
        elif their.key is None or their.key == our.key or their.key.keys() != our.key.keys():
            self._note(table, operation, "key", "", _text(their.sent.key), _text(our.sent.key))
        else:
            self._fields(table, operation, "key", their.key, our.key)

    def _compare_values(self, table: str, operation: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        for part in ("before", "after", "source") if self._enveloped else ():
            old, new = theirs.pop(part, None), ours.pop(part, None)
            if old is None or new is None:
                self._field(table, operation, part, "", old, new)
            else:
                self._fields(table, operation, part, old, new)
        self._fields(table, operation, "envelope" if self._enveloped else "value", theirs, ours)

    def _fields(self, table: str, operation: str, part: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        left_out = _READ_AT
        if part == "source":
            left_out = _SNAPSHOTS_OWN if operation == "r" else set()
        for name in dict.fromkeys([*ours, *theirs]):
            if name not in left_out:
                self._field(table, operation, part, name, theirs.get(name, MISSING), ours.get(name, MISSING))
        common = [[name for name in side if name in theirs and name in ours] for side in (theirs, ours)]
        self._field(table, operation, "order", part, *common)

    def _field(self, table: str, operation: str, part: str, field: str, theirs: Any, ours: Any) -> None:
        if theirs != ours or type(theirs) is not type(ours):
            self._note(table, operation, part, field, theirs, ours)

    def _note(self, table: str, operation: str, part: str, field: str, theirs: Any, ours: Any) -> None:
        kind = self._types.get((table, field), "") if part in ("key", "value", *_ROW_PARTS) else ""
        self.differences.append(Difference(table, operation, part, field, kind, theirs, ours))


def _transactions(found: Sequence[Record]) -> dict[tuple[str, int | None], list[Record]]:
    groups: dict[tuple[str, int | None], list[Record]] = defaultdict(list)
    for each in found:
        groups[each.table, each.xid].append(each)
    for (_table, xid), group in groups.items():
        if xid is not None:
            group.sort(key=lambda record: record.order)
    return groups


def _position(record: Record) -> tuple[int, int, int]:
    """Return where a record of ours stands in the log; rows of the snapshot before everything."""
    high, low, ordinal = record.sent.headers["cdc.position"].split(b"/")
    return (int(record.xid is not None), int(high, 16) << 32 | int(low, 16), int(ordinal))


def _alike(one: dict[str, Any], other: dict[str, Any]) -> tuple[bool, int]:
    """Say whether the first columns are the same, and how many of all are."""
    first = next(iter(other))
    return first not in one or one[first] == other[first], sum(one.get(name) == other[name] for name in other)


def _header(record: Record, name: str) -> Any:
    return record.sent.headers[name].decode() if name in record.sent.headers else MISSING


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode()
