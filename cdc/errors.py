"""Owns the errors of the engine: what went wrong (the kind), never what to do about it (that is `cdc.policy`).

    CdcError
    ├── ProtocolError   bytes of the server that are no pgoutput message; carries the offset
    ├── DatabaseError   PostgreSQL refused, or cannot be reached
    ├── BrokerError     Kafka refused, or cannot be reached
    │   └── RefusedError    it does not take a record, for its size
    └── RegistryError   the schema registry refused, or cannot be reached (`cdc.registry`)

Anything else that leaves the engine is a bug.
"""

from enum import Enum, unique

from cdc.letters.refusals import Refusal


@unique
class Kind(Enum):
    """What went wrong, in the words of whoever has to act on it."""

    DATABASE_UNREACHABLE = "database_unreachable"
    DATABASE_BUSY = "database_busy"
    CONNECTION_LOST = "connection_lost"
    SLOT_ACTIVE = "slot_active"
    SNAPSHOT_INTERRUPTED = "snapshot_interrupted"
    BROKER_UNREACHABLE = "broker_unreachable"
    PRODUCER_FAILED = "producer_failed"
    CREDENTIALS = "credentials"
    REPLICATION_RIGHT = "replication_right"
    WAL_LEVEL = "wal_level"
    SERVER_VERSION = "server_version"
    NO_FREE_SLOT = "no_free_slot"
    PUBLICATION = "publication"
    PUBLICATION_RECREATED = "publication_recreated"
    TABLE = "table"
    TABLE_KEY = "table_key"
    SLOT_FOREIGN = "slot_foreign"
    SLOT_LOST = "slot_lost"
    SLOT_INVALIDATED = "slot_invalidated"
    SLOT_RECREATED = "slot_recreated"
    SOURCE_CHANGED = "source_changed"
    SHARDS = "shards"
    SHARD_KEY = "shard_key"
    RESHARDED = "resharded"
    RESHARD_JOB = "reshard_job"
    WAL_BUDGET = "wal_budget"
    FAILOVER = "failover"
    HISTORY_REWOUND = "history_rewound"
    TOPIC = "topic"
    TOPIC_RIGHT = "topic_right"
    GROUP_RIGHT = "group_right"
    BROKER_CREDENTIALS = "broker_credentials"
    TLS = "tls"
    REGISTRY_UNREACHABLE = "registry_unreachable"
    REGISTRY = "registry"
    SCHEMA_INCOMPATIBLE = "schema_incompatible"
    RECORD_TOO_LARGE = "record_too_large"
    RECORD_REFUSED = "record_refused"
    UNENCODABLE = "unencodable"
    DEAD_LETTER_TOPIC = "dead_letter_topic"
    DEAD_LETTERS = "dead_letters"
    SETTINGS = "settings"
    SPOOL = "spool"
    STREAM_UNCLEAR = "stream_unclear"
    STREAM_REFUSED = "stream_refused"
    PREPARED_LOST = "prepared_lost"
    CONNECT = "connect"
    CONNECTOR = "connector"
    SLOT_TAKEN = "slot_taken"
    SNAPSHOT_UNFINISHED = "snapshot_unfinished"
    PROTOCOL = "protocol"
    DATABASE = "database"
    BROKER = "broker"


class CdcError(Exception):
    """An error of a known kind; the text names the object at fault and never holds a secret."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ProtocolError(CdcError):
    """The server sent bytes that are no message of the protocol, `offset` bytes into the message."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(Kind.PROTOCOL, f"{message} (at byte {offset})")
        self.offset = offset


class DatabaseError(CdcError):
    """PostgreSQL refused something or cannot be reached."""


class BrokerError(CdcError):
    """Kafka refused something or cannot be reached."""


class RefusedError(BrokerError):
    """Kafka does not take a record, for its size; `refusal` says as much as is known of which."""

    def __init__(self, message: str, refusal: Refusal) -> None:
        super().__init__(Kind.RECORD_TOO_LARGE, message)
        self.refusal = refusal
