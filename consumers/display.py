"""Owns the default handler: log each record for a person, with the entities of its event when a database is given."""

from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from confluent_kafka import Message

from consumers.record import Record
from database import DatabaseSettings, Deadline, Direct, Link

_log = structlog.get_logger()

_LOOKUP_SECONDS = 10


class Display:
    """Log records (FL-87).

    Args:
        zone: The time zone that dates are shown in, beside UTC.
        database: Where entities are looked up by event id (EV-97); None shows the record alone.
    """

    def __init__(self, zone: str, database: DatabaseSettings | None) -> None:
        self._zone = ZoneInfo(zone)
        self._link = Link(Direct.of(database), database.limits) if database else None

    def __call__(self, record: Record, message: Message) -> None:
        """Log one record.

        Raises:
            psycopg.Error: The entities could not be looked up.
        """
        _log.info(
            "record",
            id=record.id,
            event_name=record.event_name,
            event_type=record.event_type,
            created=self._both(record.created_date),
            saved=self._both(record.saved_date),
            op=record.op,
            table=record.table,
            header=record.header,
            partition=message.partition(),
            offset=message.offset(),
            **({"entities": self._entities(record.id)} if self._link else {}),
        )

    def close(self) -> None:
        """Close the database connection."""
        if self._link:
            self._link.discard()

    def _both(self, instant: datetime | None) -> dict[str, str] | None:
        if instant is None:
            return None
        return {"utc": instant.isoformat(), "display": instant.astimezone(self._zone).isoformat()}

    def _entities(self, event_id: str) -> list[dict[str, object]]:
        assert self._link is not None
        connection = self._link.connection(Deadline.after(_LOOKUP_SECONDS))
        rows = connection.execute(
            "SELECT entity_type, entity_id, entity_data FROM entities WHERE event_id = %s ORDER BY 1, 2", (event_id,)
        ).fetchall()
        return [{"type": kind, "id": key, "data": data} for kind, key, data in rows]
