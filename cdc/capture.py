"""Owns the way from messages to records: a change's relation, its topic, its position. No I/O.

It holds what the stream said so far: the relations and the open transaction.

The ordinal of a position counts every change of the transaction, also those of tables that nobody asked for, and its
logical messages: what a setting of ours leaves out must not move the positions of the rest.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import orjson
import structlog

from cdc.emission import PLAIN, Emission
from cdc.envelope import CREATE, READ, Payload, TableEncoder
from cdc.errors import CdcError, Kind
from cdc.formats.protocol import SnapshotOrigin
from cdc.letters.deadletters import Letters
from cdc.lsn import STEPS, Lsn, Position
from cdc.pgoutput.encoder import encode_change
from cdc.pgoutput.messages import Begin, Delete, Insert, LogicalMessage, Message, Relation, Row, Truncate, Type, Update
from cdc.records import (
    COMMITTED,
    MESSAGE,
    NO_TOPIC,
    POSITION,
    SNAPSHOT,
    SOURCE,
    UNAVAILABLE,
    XID,
    Headers,
    Record,
    TopicName,
)
from cdc.tables import Route, TableName
from cdc.types import TypeCatalog, Types

_log: Final = structlog.get_logger(__name__)

Clock = Callable[[], float]

_CHANGES: Final = (Insert, Update, Delete)

_RENAMED: Final = (
    "Its changes are not captured under the new name. Put the new name into CDC_TABLES and start again, or rename the "
    "table back; a table that took its old name also needs ALTER PUBLICATION … ADD TABLE."
)


def progress(table: TableName, key: Sequence[str], *request: str) -> Headers:
    """Return the header that tells how far a snapshot came; none for a key that is no text, whose row comes again."""
    try:
        return [(SNAPSHOT, orjson.dumps((table.schema, table.name, key, *request)))]
    except orjson.JSONEncodeError:
        return []


class Capture:
    """Turn the changes of the captured tables into records with positions and headers."""

    def __init__(
        self,
        routes: Mapping[TableName, Route],
        source: bytes,
        clock: Clock = time.time,
        catalog: TypeCatalog | None = None,
        emission: Emission = PLAIN,
        letters: Letters | None = None,
    ) -> None:
        """Start without any relation known: the server describes each before its first change on a connection.

        Without `letters` a change that no record can hold is an error.
        """
        self._letters = letters or Letters()
        self._certain = self._letters.certain
        self._types = Types(catalog)
        self._emission = emission
        self._origin: Begin | None = None
        self._routes = routes
        self._captured = {route.oid: table for table, route in routes.items() if route.oid}
        """The tables by what does not change when they are renamed."""
        self._source = (SOURCE, source)
        self._clock = clock
        self._encoders: dict[int, tuple[TableEncoder, TopicName] | None] = {}
        self._lsn = Lsn(0)
        self._prefix = b""
        """What the positions of the open transaction begin with."""
        self._change = 0
        self._headers: Headers = []

    def begin(self, begin: Begin) -> None:
        """Enter a transaction: the changes that follow take its commit LSN, id and time."""
        self._lsn = begin.final_lsn
        self._prefix = b"%X/%X/" % (begin.final_lsn >> 32, begin.final_lsn & 0xFFFFFFFF)
        self._change = 0
        self._origin = begin
        self._headers = [self._source, (XID, b"%d" % begin.xid), (COMMITTED, b"%d" % begin.committed_us)]

    def records(self, message: Message) -> Sequence[Record]:
        """Return the records of one message in the order of their positions; most messages have one or none.

        Raises:
            CdcError: The change names a relation never described, or its row does not fit; or no record can hold it
                and its topic has no dead-letter topic.
        """
        if isinstance(message, _CHANGES):
            return self._changed(message)
        if isinstance(message, Relation):
            self._describe(message)
        elif isinstance(message, Type):
            self._types.learn(message)
        elif isinstance(message, Truncate):
            return self._truncated(message)
        elif isinstance(message, LogicalMessage):
            return self._told(message)
        return ()

    def encoder(self, relation: Relation, primary_key: Sequence[str]) -> TableEncoder:
        """Return an encoder of a relation's rows that knows the types of the database.

        Raises:
            CdcError: The format cannot write records of this relation.
        """
        route = self._routes.get(TableName(relation.schema, relation.name))
        topic = NO_TOPIC if route is None else route.topic
        return TableEncoder(relation, primary_key, self._types, self._emission.form, topic)

    def snapshot_records(  # a row and its whole place
        self,
        encoder: TableEncoder,
        table: TableName,
        row: Row,
        consistent_point: Lsn,
        number: int,
        key: tuple[str, ...],
    ) -> Sequence[Record]:
        """Return the record of a row that a snapshot read, `number` rows into the snapshot, or the parts of its letter.

        `key` holds the texts by which the rows are ordered: the header by which a later attempt goes on.

        Raises:
            CdcError: As `read_records`.
        """
        position = Position.of_snapshot_row(consistent_point, number)
        return self.read_records(encoder, table, row, position, progress(table, key))

    def read_records(
        self, encoder: TableEncoder, table: TableName, row: Row, position: Position, headers: Headers
    ) -> Sequence[Record]:
        """Return the record of a row that was read and not streamed, as `read_record` does, or its dead letter's parts.

        Raises:
            CdcError: The row does not fit the relation; or no record can hold it and there is no dead-letter topic.
        """
        try:
            record = self.read_record(encoder, table, row, position, headers)
        except CdcError as error:
            if error.kind is not Kind.UNENCODABLE:
                raise
            place = Record(self.topic_of(table), b"", None, position, [self._source, *headers])
            return self._bury(error, encoder, Insert(encoder.relation.oid, row), place)
        return (record,) if record.size <= self._certain else self._letters.admit(record, encoder.name, by_key=True)

    def read_record(
        self, encoder: TableEncoder, table: TableName, row: Row, position: Position, headers: Headers
    ) -> Record:
        """Return the record of a row that was read and not streamed, at a position, with headers besides its place.

        Raises:
            CdcError: The row does not fit the relation, or no record can hold it.
        """
        # One byte before the point at which the row was seen, see `Position.of_snapshot_row`.
        origin = SnapshotOrigin(Lsn(position.lsn + 1))
        payload = encoder.row(row, READ, self._now_ms(), origin)
        placed: Headers = [(POSITION, position.encode()), self._source, *headers]
        return Record(self.topic_of(table), payload.key, payload.value, position, placed)

    def topic_of(self, table: TableName) -> TopicName:
        """Return the topic of a captured table."""
        return self._routes[table].topic

    def letters_of(self, topic: TopicName) -> TopicName | None:
        """Return the dead-letter topic of a topic, None if it has none."""
        return self._letters.destinations.get(topic)

    def _changed(self, change: Insert | Update | Delete) -> Sequence[Record]:
        self._change += 1
        try:
            target = self._encoders[change.relation_oid]
        except KeyError:
            message = f"a change of relation {change.relation_oid}, which was never described"
            raise CdcError(Kind.PROTOCOL, message) from None
        if target is None:
            return ()
        encoder, topic = target
        try:
            if isinstance(change, Insert):
                payload = encoder.row(change.new, CREATE, self._now_ms(), self._origin)
                record = self._record(topic, payload, self._change * STEPS)
                return (record,) if record.size <= self._certain else self._letters.admit(record, encoder.name)
            if isinstance(change, Update):
                return self._place(topic, encoder.update(change, self._now_ms(), self._origin), encoder.name)
            return self._place(topic, encoder.delete(change, self._now_ms(), self._origin), encoder.name)
        except CdcError as error:
            if error.kind is not Kind.UNENCODABLE:
                raise
            position = Position(self._lsn, self._change * STEPS)
            return self._bury(error, encoder, change, Record(topic, b"", None, position, [*self._headers]))

    def _bury(
        self, error: CdcError, encoder: TableEncoder, change: Insert | Update | Delete, place: Record
    ) -> Sequence[Record]:
        row = change.old if isinstance(change, Delete) else change.new
        lost = replace(place, key=encoder.raw_key(row), value=encode_change(change))
        return self._letters.unencodable(error, lost, encoder.relation, encoder.primary_key)

    def _place(self, topic: TopicName, payloads: Iterable[Payload], table: str) -> list[Record]:
        first = self._change * STEPS
        records: list[Record] = []
        for ordinal, payload in enumerate(payloads, first):
            record = self._record(topic, payload, ordinal)
            if record.size <= self._certain:
                records.append(record)
            else:
                records += self._letters.admit(record, table)
        return records

    def _record(self, topic: TopicName, payload: Payload, ordinal: int) -> Record:
        # `Position.encode` in parts: the first is the same for the whole transaction.
        headers = [(POSITION, b"%b%d" % (self._prefix, ordinal)), *self._headers]
        key, value, unavailable, more = payload
        if unavailable:
            headers.append((UNAVAILABLE, orjson.dumps(unavailable)))
        if more:
            headers += more
        return Record(topic, key, value, Position(self._lsn, ordinal), headers)

    def _describe(self, relation: Relation) -> None:
        table = TableName(relation.schema, relation.name)
        route = self._routes.get(table)
        if route is None:
            self._encoders[relation.oid] = None
            if (before := self._captured.get(relation.oid)) is not None:
                # It left CDC_TABLES by its new name; its changes are still sent, and go nowhere.
                _log.warning("table_renamed", table=str(before), renamed_to=str(table), remedy=_RENAMED)
        else:
            self._captured[relation.oid] = table
            self._encoders[relation.oid] = (self.encoder(relation, route.primary_key), route.topic)

    def _truncated(self, message: Truncate) -> Sequence[Record]:
        """Return a record for every partition of each table's topic: each must see in its order that rows went."""
        records = []
        for oid in message.relation_oids:
            # Each table is a change of its own: two of them may share a partition, and need two positions there.
            self._change += 1
            if (target := self._encoders.get(oid)) is None:
                continue
            encoder, topic = target
            if self._emission.truncated is None:
                # Readers keep the rows. Said here so that nobody has to guess.
                _log.warning("truncate_not_captured", table=encoder.table, lsn=self._lsn, topic=topic)
                continue
            payload = encoder.truncation(self._now_ms(), self._origin)
            for partition in range(self._emission.truncated[topic]):
                placed = self._place(topic, (payload,), encoder.name)
                records += [replace(record, partition=partition) for record in placed]
        return records

    def _told(self, message: LogicalMessage) -> Sequence[Record]:
        """Return the record of a logical message that somebody asked for.

        One of a transaction has its place among the changes. One outside of any has its place in the log: the server
        sends it when it comes to it, as it does with a transaction at its commit (`logicalmsg_decode` and
        `DecodeCommit` in PostgreSQL's decode.c), so these places and those of commits grow together on the stream; and
        as with those it sends none again that lies before the confirmed LSN (`SnapBuildXactNeedsSkip` in both).
        That LSN is where its record ends, and a commit's is where its record begins: they may be the same. So it comes
        before every change of such a transaction, whose ordinals begin at `STEPS`.
        """
        position = Position(message.lsn, 0)
        headers: Headers = [self._source]
        if message.transactional:
            self._change += 1
            position, headers = Position(self._lsn, self._change * STEPS), self._headers
        if (routed := self._emission.outbox.route(message)) is None:
            return ()
        own: Headers = [(POSITION, position.encode()), *headers, (MESSAGE, message.prefix.encode()), *routed.headers]
        return self._letters.admit(Record(routed.topic, routed.key, routed.value, position, own), message.prefix)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
