"""Owns the way from messages to records: a change's relation, its topic, its position. No I/O.

It holds what the stream said so far: the relations and the open transaction.

The ordinal of a position counts every change of the transaction, also those of tables that nobody asked for, and its
logical messages: what a setting of ours leaves out must not move the positions of the rest.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import orjson
import structlog

from cdc.deadletters import Letters
from cdc.envelope import CREATE, READ, Payload, TableEncoder
from cdc.errors import CdcError, Kind
from cdc.lsn import STEPS, Lsn, Position
from cdc.pgoutput.encoder import encode_change
from cdc.pgoutput.messages import Begin, Delete, Insert, LogicalMessage, Message, Relation, Row, Truncate, Type, Update
from cdc.records import COMMITTED, POSITION, SNAPSHOT, SOURCE, UNAVAILABLE, XID, Headers, Record, TopicName
from cdc.types import TypeCatalog, Types

_log: Final = structlog.get_logger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class TableName:
    """A table by schema and name, as the catalogue spells them."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Route:
    """Where the changes of one table go, and its primary key as the catalogue had it when the engine started."""

    topic: TopicName
    primary_key: tuple[str, ...] = ()


class Capture:
    """Turn the changes of the captured tables into records with positions and headers."""

    def __init__(
        self,
        routes: Mapping[TableName, Route],
        source: bytes,
        clock: Clock = time.time,
        catalog: TypeCatalog | None = None,
        letters: Letters | None = None,
    ) -> None:
        """Start without any relation known: the server describes each before its first change on a connection.

        Without `letters` a change that no record can hold is an error.
        """
        self._letters = letters or Letters()
        self._certain = self._letters.certain
        self._types = Types(catalog)
        self._routes = routes
        self._source = (SOURCE, source)
        self._clock = clock
        self._encoders: dict[int, tuple[TableEncoder, TopicName] | None] = {}
        self._lsn = Lsn(0)
        self._change = 0
        self._headers: Headers = []

    def begin(self, begin: Begin) -> None:
        """Enter a transaction: the changes that follow take its commit LSN, id and time."""
        self._lsn = begin.final_lsn
        self._change = 0
        self._headers = [self._source, (XID, b"%d" % begin.xid), (COMMITTED, b"%d" % begin.committed_us)]

    def records(self, message: Message) -> Sequence[Record]:
        """Return the records of one message in the order of their positions; most messages have one or none.

        Raises:
            CdcError: The change names a relation never described, or its row does not fit; or no record can hold it
                and its topic has no dead-letter topic.
        """
        if isinstance(message, Insert | Update | Delete):
            return self._changed(message)
        if isinstance(message, Relation):
            self._describe(message)
        elif isinstance(message, Type):
            self._types.learn(message)
        elif isinstance(message, Truncate):
            self._truncated(message)
        elif isinstance(message, LogicalMessage) and message.transactional:
            self._change += 1
        return ()

    def encoder(self, relation: Relation, primary_key: Sequence[str]) -> TableEncoder:
        """Return an encoder of a relation's rows that knows the types of the database."""
        return TableEncoder(relation, primary_key, self._types)

    def snapshot_record(  # a row and its whole place
        self,
        encoder: TableEncoder,
        table: TableName,
        row: Row,
        consistent_point: Lsn,
        number: int,
        key: tuple[str, ...],
    ) -> Record:
        """Return the record of a row that a snapshot read, `number` rows into the snapshot.

        `key` holds the texts by which the rows are ordered: the header by which a later attempt goes on.

        Raises:
            CdcError: The row does not fit the relation, or no record can hold it.
        """
        payload = encoder.row(row, READ, self._now_ms())
        position = Position.of_snapshot_row(consistent_point, number)
        headers: Headers = [
            (POSITION, position.encode()),
            self._source,
            (SNAPSHOT, orjson.dumps((table.schema, table.name, key))),
        ]
        return Record(self._routes[table].topic, payload.key, payload.value, position, headers)

    def snapshot_records(
        self,
        encoder: TableEncoder,
        table: TableName,
        row: Row,
        consistent_point: Lsn,
        number: int,
        key: tuple[str, ...],
    ) -> Sequence[Record]:
        """Return the record of a row that a snapshot read, as `snapshot_record` does, or the parts of its dead letter.

        Raises:
            CdcError: The row does not fit the relation; or no record can hold it and there is no dead-letter topic.
        """
        try:
            record = self.snapshot_record(encoder, table, row, consistent_point, number, key)
        except CdcError as error:
            if error.kind is not Kind.UNENCODABLE:
                raise
            position = Position.of_snapshot_row(consistent_point, number)
            headers: Headers = [self._source]
            with suppress(orjson.JSONEncodeError):
                # A key that is no text cannot say how far the snapshot came; at worst its letter is sent again.
                headers.append((SNAPSHOT, orjson.dumps((table.schema, table.name, key))))
            place = Record(self._routes[table].topic, b"", None, position, headers)
            return self._bury(error, encoder, Insert(encoder.relation.oid, row), place)
        return (record,) if record.size <= self._certain else self._letters.admit(record, encoder.name, by_key=True)

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
                return self._place(topic, (encoder.row(change.new, CREATE, self._now_ms()),), encoder)
            if isinstance(change, Update):
                return self._place(topic, encoder.update(change, self._now_ms()), encoder)
            return self._place(topic, encoder.delete(change, self._now_ms()), encoder)
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

    def _place(self, topic: TopicName, payloads: Iterable[Payload], encoder: TableEncoder) -> list[Record]:
        first = self._change * STEPS
        records: list[Record] = []
        for ordinal, payload in enumerate(payloads, first):
            position = Position(self._lsn, ordinal)
            headers = [(POSITION, position.encode()), *self._headers]
            if payload.unavailable:
                headers.append((UNAVAILABLE, orjson.dumps(payload.unavailable)))
            record = Record(topic, payload.key, payload.value, position, headers)
            if record.size <= self._certain:
                records.append(record)
            else:
                records += self._letters.admit(record, encoder.name)
        return records

    def _describe(self, relation: Relation) -> None:
        route = self._routes.get(TableName(relation.schema, relation.name))
        if route is None:
            self._encoders[relation.oid] = None
        else:
            self._encoders[relation.oid] = (self.encoder(relation, route.primary_key), route.topic)

    def _truncated(self, message: Truncate) -> None:
        self._change += 1
        for oid in message.relation_oids:
            if (target := self._encoders.get(oid)) is not None:
                # A flat record has no form for it; readers keep the rows. Said here so that nobody has to guess.
                _log.warning("truncate_not_captured", table=target[0].table, lsn=self._lsn, topic=target[1])

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
