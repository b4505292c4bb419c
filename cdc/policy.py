"""Owns what to do about each kind of error: try again, and how patiently, or stop, and what the operator can do.

The one place where retries are decided. The list of what is tried again is narrow: only what may pass by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cdc.errors import Kind


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, for ever: first after `first` seconds, doubling with jitter up to `longest`."""

    first: float = 0.2
    longest: float = 10.0


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process; `remedy` is a sentence for the operator."""

    remedy: str


Decision: TypeAlias = Retry | Stop

_DECISIONS: Final[Mapping[Kind, Decision]] = {
    Kind.DATABASE_UNREACHABLE: Retry(),
    Kind.DATABASE_BUSY: Retry(),
    Kind.CONNECTION_LOST: Retry(),
    # The server frees the slot of a dead client when it notices; a standby takes over within a second of that.
    Kind.SLOT_ACTIVE: Retry(first=0.2, longest=1.0),
    Kind.SNAPSHOT_INTERRUPTED: Retry(),
    Kind.BROKER_UNREACHABLE: Retry(),
    Kind.PRODUCER_FAILED: Retry(),
    Kind.REGISTRY_UNREACHABLE: Retry(),
    # The next session asks for whole transactions, and gets this one without a doubt; if not, for another reason.
    Kind.STREAM_UNCLEAR: Retry(first=0.05),
    Kind.STREAM_REFUSED: Retry(first=0.05),
    Kind.CREDENTIALS: Stop(
        "Check user, password and TLS of DATABASE_URL. On Aurora a missing role is reported as a missing pg_hba.conf "
        "entry: GRANT rds_replication TO <user>."
    ),
    Kind.REPLICATION_RIGHT: Stop(
        "Give the user of DATABASE_URL the right to replicate: ALTER ROLE <user> REPLICATION, on Aurora and RDS "
        "GRANT rds_replication TO <user>; and SELECT on the captured tables."
    ),
    Kind.WAL_LEVEL: Stop(
        "Set wal_level = logical and restart the server; on Aurora and RDS set rds.logical_replication = 1 in the "
        "parameter group and reboot."
    ),
    Kind.SERVER_VERSION: Stop("Use PostgreSQL 15 or newer."),
    Kind.NO_FREE_SLOT: Stop("Drop a slot nobody needs (pg_replication_slots), or raise max_replication_slots."),
    Kind.PUBLICATION: Stop("Create the publication, or add the tables to it, as the finding says; then start again."),
    Kind.TABLE: Stop("Create the table, or correct CDC_TABLES."),
    Kind.TABLE_KEY: Stop(
        "Give the table a primary key, or ALTER TABLE … REPLICA IDENTITY USING INDEX with a unique index; "
        "records need a key to keep their order."
    ),
    Kind.SLOT_FOREIGN: Stop("Set SLOT_NAME to a slot of the pgoutput plug-in in this database, or to a new name."),
    Kind.SLOT_LOST: Stop(
        "The slot is gone while the topic holds its records, so changes in between would be lost in silence. "
        "CDC_SNAPSHOT_MODE=when_needed takes a new snapshot: rows come again as `r`, deletions since are not seen."
    ),
    Kind.SLOT_INVALIDATED: Stop(
        "The server removed WAL the slot still needed (max_slot_wal_keep_size). CDC_SNAPSHOT_MODE=when_needed drops "
        "the slot and takes a new snapshot: rows come again as `r`, deletions since are not seen."
    ),
    Kind.SLOT_RECREATED: Stop(
        "CDC_SNAPSHOT_MODE=when_needed drops the slot and takes a new snapshot: rows come again as `r`, deletions "
        "since are not seen. CDC_ACCEPT_GAP with the LSN in the message goes on without what is missing."
    ),
    Kind.PUBLICATION_RECREATED: Stop(
        "CDC_SNAPSHOT_MODE=when_needed drops the slot and takes a new snapshot: rows come again as `r`, deletions "
        "since are not seen. CDC_ACCEPT_GAP with the LSN in the message goes on without what is missing. To change a "
        "publication, ALTER it."
    ),
    Kind.SOURCE_CHANGED: Stop(
        "Correct DATABASE_URL, SLOT_NAME or CDC_TOPIC, so that each topic has one source. If the database was moved or "
        "upgraded with its slot and nothing was written meanwhile, CDC_ACCEPT_GAP with the LSN in the message goes on; "
        "otherwise use a new topic, or another CDC_BOOKMARK_GROUP for a second source in one topic."
    ),
    Kind.SHARDS: Stop(
        "The slots of the shards belong together, and only the engine may drop or move them. "
        "CDC_SNAPSHOT_MODE=when_needed drops what is left and takes a new snapshot: rows come again as `r`, deletions "
        "since are not seen."
    ),
    Kind.SHARD_KEY: Stop(
        "Give the table a primary key (or REPLICA IDENTITY USING INDEX) of columns with built-in types that can be "
        "hashed, or set CDC_SHARDS=1. Enums, domains and types of extensions cannot be in a publication's row filter."
    ),
    Kind.RESHARDED: Stop("Start it again: it finds the slots that are in use now by itself."),
    Kind.RESHARD_JOB: Stop(
        "Start with the old CDC_SHARDS and wait until the incremental snapshot has ended, or cancel it with "
        "headwater cdc snapshot --cancel; then change the number."
    ),
    Kind.WAL_BUDGET: Stop(
        "Find out what keeps the slot: Kafka away, a transaction that stays open, or too little headroom. Then raise "
        "max_slot_wal_keep_size and CDC_WAL_BUDGET_BYTES well above the WAL of the longest absence. Where the slot was "
        "dropped, CDC_SNAPSHOT_MODE=when_needed takes a new snapshot."
    ),
    Kind.FAILOVER: Stop(
        "Leave CDC_SLOT_FAILOVER at auto, and start the engine: it lets standbys keep a copy of its slot. They need "
        "sync_replication_slots = on, hot_standby_feedback = on, and a dbname in primary_conninfo."
    ),
    Kind.HISTORY_REWOUND: Stop(
        "The database was restored to a time before records already in the topic. Use a new topic, or empty this one "
        "and drop the slot."
    ),
    Kind.TOPIC: Stop("Create the topics of CDC_TOPIC and CDC_MESSAGES before the engine starts."),
    Kind.TOPIC_RIGHT: Stop("Allow the Kafka user to describe, read and write the topic, and idempotent writes."),
    Kind.GROUP_RIGHT: Stop(
        "Allow the Kafka user to read the consumer group of CDC_BOOKMARK_GROUP, in which the engine remembers its "
        "slot, or set it to nothing: then a slot that somebody drops and creates again is not noticed."
    ),
    Kind.BROKER_CREDENTIALS: Stop("Check the security and SASL settings in CDC_KAFKA_CONFIG."),
    Kind.TLS: Stop(
        "Check who signed the certificate and which name it bears: sslmode and sslrootcert in DATABASE_URL, "
        "ssl.ca.location in CDC_KAFKA_CONFIG; and that the other side speaks TLS at all."
    ),
    Kind.REGISTRY: Stop("Check CDC_SCHEMA_REGISTRY_URL, and user and rights in CDC_SCHEMA_REGISTRY_CONFIG."),
    Kind.SCHEMA_INCOMPATIBLE: Stop(
        "Readers of the topic could not read both what is there and what comes. Nothing is lost: the engine goes on at "
        "that change. Make the readers ready, set the subject's compatibility to NONE in the registry, start the "
        "engine, and set it back once it streams; or give the table a new topic."
    ),
    Kind.RECORD_TOO_LARGE: Stop(
        "Create the dead-letter topic (CDC_DEAD_LETTER_TOPIC), or raise max.message.bytes of the topic, and "
        "message.max.bytes if CDC_KAFKA_CONFIG has it, above the size of the row; the engine goes on at that row."
    ),
    # A session of its own learns which record it is; see `cdc.letters.deadletters.Refusals`.
    Kind.RECORD_REFUSED: Retry(),
    Kind.UNENCODABLE: Stop(
        "Create the dead-letter topic (CDC_DEAD_LETTER_TOPIC): the change then goes there byte-exact and the engine "
        "goes on. Or correct the row, see the detail."
    ),
    Kind.DEAD_LETTER_TOPIC: Stop("Create the dead-letter topic as the finding says."),
    Kind.DEAD_LETTERS: Stop(
        "List them with headwater cdc replay --dead-letters, cure the cause, and send them with --all."
    ),
    Kind.SETTINGS: Stop("Correct the setting and start again."),
    Kind.SPOOL: Stop(
        "Make room in CDC_SPOOL_DIR (by default the system's folder for temporary files) or choose another folder, as "
        "large as the open transactions together; or CDC_STREAMING=off, then the server keeps them on its disk."
    ),
    Kind.PREPARED_LOST: Stop(
        "Something else than this engine confirmed the slot between PREPARE TRANSACTION and COMMIT PREPARED. Drop the "
        "slot, let the engine create its own (without two_phase), and start with CDC_SNAPSHOT_MODE=when_needed."
    ),
    Kind.CONNECT: Stop("Start Kafka Connect, or correct CONNECT_URL; then run the command again."),
    Kind.CONNECTOR: Stop("Cure what the trace says, then run headwater cdc deploy again; the worker's log tells more."),
    Kind.SLOT_TAKEN: Stop("Stop the engine that reads it, or choose another SLOT_NAME and PUBLICATION_NAME."),
    Kind.SNAPSHOT_UNFINISHED: Stop("Wait until the snapshot is complete, then run the command again."),
    Kind.PROTOCOL: Stop("The engine does not understand the server: please report it with the log."),
    Kind.DATABASE: Stop("See the server's log; the engine goes on where it stopped."),
    Kind.BROKER: Stop("See the broker's log; the engine goes on where it stopped."),
}


def decide(kind: Kind) -> Decision:
    """Return what to do about an error of this kind."""
    return _DECISIONS[kind]
