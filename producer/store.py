"""Write one event in one transaction, exactly once for its caller.

Owns the SQL of the three tables (EV-50 to EV-57) and what a failed write means. One event is one statement: three
inserts as data-modifying CTEs, hence one round trip and one transaction without BEGIN and COMMIT
(https://www.postgresql.org/docs/18/queries-with.html#QUERIES-WITH-MODIFYING). Foreign keys are checked when the
statement ends, so the order of the three does not matter.
"""

from enum import Enum
from itertools import count
from typing import Final, LiteralString

import structlog
from psycopg import errors

from database import Deadline, Failure, Links, RetryPolicy, Statement, classify
from producer.model import Event

_log = structlog.get_logger()

_EVENT_TABLES: Final = frozenset({"business_events", "event_headers"})

_TWO_TABLES: LiteralString = """
WITH event AS (
    INSERT INTO business_events (id, event_name, event_type, created_date, saved_date, event_data)
    VALUES (%(id)s, %(name)s, %(type)s, %(created)s, %(saved)s, %(document)s)
), header AS (
    INSERT INTO event_headers (id, event_name, event_type, created_date, saved_date, header_data)
    VALUES (%(id)s, %(name)s, %(type)s, %(created)s, %(saved)s, %(header)s)
)
INSERT INTO entities (entity_type, entity_id, created_at, updated_at, entity_data, event_id)
"""

# `created_at` stays as the first event set it (EV-55); `updated_at` is the entity header's (EV-57).
_UPSERT: LiteralString = """
ON CONFLICT (entity_type, entity_id) DO UPDATE
SET entity_data = EXCLUDED.entity_data, updated_at = EXCLUDED.updated_at, event_id = EXCLUDED.event_id
"""

# The entity is cut out of the document in the database, so that it is sent once and keeps every digit.
_ONE_ENTITY: Final = Statement(
    "store_one_entity",
    _TWO_TABLES
    + """
VALUES (
    %(entity_type)s, %(entity_id)s, %(created_at)s, %(updated_at)s,
    (%(document)s::jsonb #> '{entities,0}') - 'entityHeader', %(id)s
)
"""
    + _UPSERT,
)

# A set-based form costs about 60 us more than the above, hence both. Of entities with one key the last wins, since no
# row may be touched twice by one statement; the order of the keys keeps two such events from deadlocking.
_SOME_ENTITIES: Final = Statement(
    "store_some_entities",
    _TWO_TABLES
    + """
SELECT DISTINCT ON (1, 2)
    entity #>> '{entityHeader,entityType}', entity #>> '{entityHeader,entityId}', created_at, updated_at,
    entity - 'entityHeader', %(id)s::varchar
FROM ROWS FROM (
    jsonb_array_elements(%(document)s::jsonb -> 'entities'),
    unnest(%(created_at)s::timestamptz[]),
    unnest(%(updated_at)s::timestamptz[])
) WITH ORDINALITY AS given (entity, created_at, updated_at, place)
ORDER BY 1, 2, place DESC
"""
    + _UPSERT,
)

_IS_STORED: LiteralString = """
SELECT event_data = %(document)s::jsonb AND event_name = %(name)s AND event_type IS NOT DISTINCT FROM %(type)s::text
    AND created_date = %(created)s::timestamptz AND saved_date = %(saved)s::timestamptz
FROM business_events WHERE id = %(id)s
"""


class Stored(Enum):
    """What became of a write that the database answered."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """The id was there before; nothing was changed (EV-52)."""


class EventStore:
    """Store events over the calling thread's connection."""

    def __init__(self, links: Links, policy: RetryPolicy | None = None) -> None:
        self._links = links
        self._policy = policy or RetryPolicy()
        self._count = count(1)

    def store(self, event: Event, deadline: Deadline) -> Stored:
        """Store one event, trying the whole transaction again after a passing failure (EV-58).

        Raises:
            psycopg.Error: The transaction did not happen, or nobody can tell (a lost connection on the last attempt).
        """
        parameters = _parameters(event)
        statement = _ONE_ENTITY if len(event.entities) == 1 else _SOME_ENTITIES
        link = self._links.mine()
        # True once an attempt ended without an answer: it may have been committed all the same (EV-61).
        in_doubt = False

        def attempt() -> Stored:
            nonlocal in_doubt
            runner = link.runner(deadline)
            try:
                runner.run(statement, parameters)
            except errors.UniqueViolation as error:
                # Only the event tables make a duplicate (EV-53).
                if error.diag.table_name not in _EVENT_TABLES:
                    raise
                if not in_doubt:
                    return Stored.DUPLICATE
                # Somebody stored this id. If it holds what this call sent, dates of processing included, it is the
                # lost attempt's own work; the unanswered one has ended, because the conflict waited for it.
                row = runner.connection.execute(_IS_STORED, parameters).fetchone()
                return Stored.NEW if row is not None and row[0] else Stored.DUPLICATE
            except Exception as error:
                if classify(error) is Failure.CONNECTION:
                    in_doubt = True
                    link.discard()
                raise
            return Stored.NEW

        stored = self._policy.run(attempt, deadline)
        if stored is Stored.NEW and (persisted := next(self._count)) % 10 == 0:
            _log.info("events_persisted", count=persisted)
        return stored

    def ping(self, deadline: Deadline) -> None:
        """Run a real one-row query (EV-42).

        Raises:
            psycopg.Error: The database does not answer it.
        """
        link = self._links.mine()
        try:
            link.connection(deadline).execute("SELECT 1").fetchone()
        except Exception:
            link.discard()
            raise

    def public_text(self, error: BaseException) -> str:
        """Return one line about a failure without any credential (EV-25)."""
        return self._links.mine().public_text(error)


def _parameters(event: Event) -> dict[str, str | None]:
    parameters = {
        "id": event.id,
        "name": event.name,
        "type": event.type,
        "created": event.created,
        "saved": event.saved,
        "document": event.document,
        "header": event.header,
    }
    if len(event.entities) == 1:
        entity = event.entities[0]
        return parameters | {
            "entity_type": entity.type,
            "entity_id": entity.id,
            "created_at": entity.created_at,
            "updated_at": entity.updated_at,
        }
    # Instants are digits, dashes, colons and letters: an array literal needs no quoting.
    return parameters | {
        "created_at": "{" + ",".join(entity.created_at for entity in event.entities) + "}",
        "updated_at": "{" + ",".join(entity.updated_at for entity in event.entities) + "}",
    }
