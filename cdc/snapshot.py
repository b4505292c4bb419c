"""Owns the initial snapshot: rows of an exported snapshot in, `r` records out. Creates no slot and decides no retry.

A snapshot that was cut off is finished by a later attempt, in a new exported snapshot, without a row lost or sent
twice. By then the changes between the two snapshots have been streamed, so a row of the new snapshot is one of three:
- its partition already holds it from an earlier attempt: rows come in the order of the table's key, so everything up
  to the last key that a partition holds is there;
- it was inserted between the snapshots: its `c` is in the topic;
- neither: it is sent now.
A table without a unique key has no such order; its rows then come again, which is said in the log.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from psycopg import Connection, sql

from cdc.capture import Capture
from cdc.catalog import Table
from cdc.ledger import Ledger, Limits
from cdc.letters.deadletters import announce
from cdc.lsn import Lsn, Position, format_lsn
from cdc.pgoutput.messages import Row
from cdc.ports import Sink
from cdc.positions import partition_of
from cdc.postgres import hand_out_texts, keeps_any_bytes, translated
from cdc.records import TopicName
from cdc.tables import TableName
from cdc.watch.observer import UNWATCHED, Observer

_log: Final = structlog.get_logger(__name__)

_FETCH_BYTES: Final = 1024 * 1024
_FETCH_ROWS: Final = 2000
_FIRST_FETCH: Final = 100
_WAIT_S: Final = 0.1
_REPORT_S: Final = 10.0

KeyTexts = tuple[str, ...]
Place = tuple[TopicName, int]
"""A topic and one of its partitions."""
ReadRow = tuple[Row, tuple[bool, ...]]
"""A row, and for each boundary asked for whether the row lies beyond it."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier attempts left in the topics: nothing, on the first."""

    covered: Mapping[TopicName, Sequence[Mapping[TableName, KeyTexts]]] = field(default_factory=dict)
    """For each partition the last key it holds of each table's snapshot."""
    inserted: AbstractSet[tuple[TopicName, bytes]] = frozenset()
    """The keys of the rows inserted since the first attempt, all of them streamed."""
    last: Position | None = None
    """The furthest position in the topics, so that no position is used twice should the point be the same again."""


class SnapshotCopy:
    """Send the rows of one exported snapshot to the sink."""

    def __init__(
        self,
        capture: Capture,
        sink: Sink,
        consistent_point: Lsn,
        *,
        earlier: Earlier,
        limits: Limits | None = None,
        observer: Observer = UNWATCHED,
    ) -> None:
        """Start at the first row; `consistent_point` is that of the slot created with the snapshot."""
        self._capture = capture
        self._sink = sink
        self._consistent_point = consistent_point
        self._earlier = earlier
        self._observer = observer
        self._ledger = Ledger(consistent_point, limits or Limits())
        self._next_report = time.monotonic() + _REPORT_S
        first = Position.of_snapshot_row(consistent_point, 0)
        self._number = earlier.last.ordinal + 1 if earlier.last is not None and earlier.last.lsn == first.lsn else 0
        self.sent = self.skipped = 0

    def boundaries(self, topic: TopicName, table: TableName) -> dict[Place, KeyTexts]:
        """Return the last key of the table that each partition holds, for the partitions that hold any.

        Those of the dead-letter topic are among them: a row that became a letter is looked for there.
        """
        letters = self._capture.letters_of(topic)
        places = [
            ((each, number), tables)
            for each in (topic, letters)
            if each is not None
            for number, tables in enumerate(self._earlier.covered.get(each, ()))
        ]
        return {place: key for place, tables in places if (key := tables.get(table))}

    def copy(self, table: Table, topic: TopicName, rows: Iterable[ReadRow]) -> None:
        """Send the rows of one table that no earlier attempt delivered.

        Args:
            table: The table, as the catalogue describes it.
            topic: The topic of its records.
            rows: In the order of the table's key, each with a flag for every boundary, in their order.

        Raises:
            CdcError: The sink failed, or a row does not fit its table.
        """
        encoder = self._capture.encoder(table.relation, table.primary_key)
        index_of = {column.name: index for index, column in enumerate(table.columns)}
        order = [index_of[name] for name in table.order]
        flag_of = {place: flag for flag, place in enumerate(self.boundaries(topic, table.name))}
        partitions = {each: len(tables) for each, tables in self._earlier.covered.items()}
        for row, beyond in rows:
            key = tuple(str(row[index]) for index in order)
            place = (table.name, row, self._consistent_point, self._number, key)
            records = self._capture.snapshot_records(encoder, *place)
            record = records[0]
            count = partitions.get(record.topic, 0) if flag_of else 0
            flag = flag_of.get((record.topic, partition_of(record.key, count))) if count else None
            if (flag is not None and not beyond[flag]) or (record.topic, record.key) in self._earlier.inserted:
                self.skipped += 1
                continue
            self.sent += 1
            self._number += 1
            for each in records:
                announce(each, self._observer.buried)
                self._sink.send(each, self._ledger.add(each.size))
            if self.sent % 64 == 0:
                self._sink.poll(0)
                self._settle()
                self._report(table)
            while self._ledger.full:
                self._sink.poll(_WAIT_S)
                self._settle()

    def finish(self) -> None:
        """Wait until Kafka has every row.

        Raises:
            CdcError: The sink failed.
        """
        while self._ledger.in_flight:
            self._sink.poll(_WAIT_S)
            self._settle()
        self._settle()

    def _settle(self) -> None:
        self._ledger.settle()
        self._observer.copied(self.sent, self._ledger.in_flight)

    def _report(self, table: Table) -> None:
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + _REPORT_S
            point = format_lsn(self._consistent_point)
            _log.info("snapshot_progress", table=str(table.name), rows=self.sent, skipped=self.skipped, lsn=point)


def import_snapshot(connection: Connection[Any], snapshot: str) -> None:
    """Open the transaction that sees the exported snapshot; it stays until the connection is closed.

    Raises:
        DatabaseError: The snapshot is gone, or the connection is lost.
    """
    with translated():
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))


def read_rows(connection: Connection[Any], table: Table, boundaries: Sequence[KeyTexts]) -> Iterator[ReadRow]:
    """Read a table in the order of its key, in fetches of about a megabyte.

    Args:
        connection: In the transaction of the snapshot.
        table: The table; its published columns and its row filter are the publication's.
        boundaries: Keys to compare each row with. The server compares, because only it knows its collations.

    Raises:
        DatabaseError: The connection is lost.
    """
    columns = [sql.Identifier(column.name) for column in table.columns]
    key = sql.SQL(", ").join(map(sql.Identifier, table.order))
    if not table.order:
        boundaries = ()
    # Literals, not parameters: a percent sign in a name or in the filter is then nothing special.
    flags = [
        sql.SQL("({}) > ({})").format(key, sql.SQL(", ").join(map(sql.Literal, boundary))) for boundary in boundaries
    ]
    query = sql.SQL("SELECT {} FROM {} {}").format(
        sql.SQL(", ").join([*columns, *flags]),
        sql.SQL("" if table.partitioned else "ONLY"),
        sql.Identifier(table.name.schema, table.name.name),
    )
    if table.row_filter is not None:
        # The catalogue's own rendering of the publication's expression.
        query = sql.SQL("{} WHERE {}").format(query, sql.SQL(table.row_filter))
    if table.order:
        query = sql.SQL("{} ORDER BY {}").format(query, key)
    width, count = len(columns), _FIRST_FETCH
    with translated(), connection.cursor("cdc_snapshot") as cursor:
        hand_out_texts(cursor)
        cursor.execute(query)
        raw = keeps_any_bytes(connection)
        if raw:
            connection.execute("SET LOCAL client_encoding = 'SQL_ASCII'")
        while rows := cursor.fetchmany(count):
            for row in rows:
                yield row[:width], tuple(flag == "t" for flag in row[width:])
            size = sum(len(value) for row in rows for value in row if value is not None)
            count = max(1, min(_FETCH_ROWS, _FETCH_BYTES * len(rows) // max(1, size)))
        if raw:
            connection.execute("SET LOCAL client_encoding = 'UTF8'")
