"""Owns the way from messages to records: a change's relation, its topic, its position. No I/O.

It holds what the stream said so far: the relations and the open transaction.

The ordinal of a position counts every change of the transaction, also those of tables that nobody asked for, and its
logical messages: what a setting of ours leaves out must not move the positions of the rest.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from cdc.envelope import CREATE, READ, Payload, TableEncoder
from cdc.errors import CdcError, Kind
from cdc.lsn import STEPS, Lsn, Position
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
    ) -> None:
        """Start without any relation known: the server describes each before its first change on a connection."""
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
            CdcError: The change names a relation never described, or its row does not fit.
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
            CdcError: The row does not fit the relation.
        """
        position = Position.of_snapshot_row(consistent_point, number)
        mark = orjson.dumps((table.schema, table.name, key))
        return self.read_record(encoder, table, row, position, [(SNAPSHOT, mark)])

    def read_record(
        self, encoder: TableEncoder, table: TableName, row: Row, position: Position, headers: Headers
    ) -> Record:
        """Return the record of a row that was read and not streamed, at a position, with headers besides its place.

        Raises:
            CdcError: The row does not fit the relation.
        """
        payload = encoder.row(row, READ, self._now_ms())
        placed: Headers = [(POSITION, position.encode()), self._source, *headers]
        return Record(self.topic_of(table), payload.key, payload.value, position, placed)

    def topic_of(self, table: TableName) -> TopicName:
        """Return the topic of a captured table."""
        return self._routes[table].topic

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
        if isinstance(change, Insert):
            return self._place(topic, (encoder.row(change.new, CREATE, self._now_ms()),))
        if isinstance(change, Update):
            return self._place(topic, encoder.update(change, self._now_ms()))
        return self._place(topic, encoder.delete(change, self._now_ms()))

    def _place(self, topic: TopicName, payloads: Iterable[Payload]) -> list[Record]:
        first = self._change * STEPS
        records = []
        for ordinal, payload in enumerate(payloads, first):
            position = Position(self._lsn, ordinal)
            headers = [(POSITION, position.encode()), *self._headers]
            if payload.unavailable:
                headers.append((UNAVAILABLE, orjson.dumps(payload.unavailable)))
            records.append(Record(topic, payload.key, payload.value, position, headers))
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
