"""Owns the examination of an installation from outside: every fault and doubt, its remedy and the SQL for it.

It only reads, takes no slot, and needs no engine to run: what the engine checks before it starts (`preflight`), and
what can go wrong beside it. A part that cannot be reached is a finding too; the other part is examined all the same.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import Enum, unique
from typing import Any

from psycopg import Connection, sql

from cdc import preflight
from cdc.catalog import Server, missing_tables, read_server, read_tables, unreadable_tables
from cdc.errors import CdcError, Kind
from cdc.formats.choice import registry_level
from cdc.letterbox import LOOK_S, letters_of
from cdc.lsn import Position
from cdc.policy import Stop, decide
from cdc.postgres import connect
from cdc.readback import Search, count_partitions, read_tails
from cdc.records import TopicName
from cdc.session import describe, furthest
from cdc.settings import Settings
from cdc.slot import Retention, drop_sql, free_slots, publication_exists, read_retention, read_slot, snapshot_name
from cdc.topics import read_sizes

_REACH = {
    Kind.DATABASE_UNREACHABLE: "Start PostgreSQL, or correct host and port of DATABASE_URL.",
    Kind.BROKER_UNREACHABLE: "Start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS.",
    Kind.REGISTRY_UNREACHABLE: "Start the schema registry, or correct CDC_SCHEMA_REGISTRY_URL.",
}


@unique
class Severity(Enum):
    """An error stops the engine or loses something soon; a warning may become one."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One fault or doubt; `sql` is None where no statement cures it."""

    severity: Severity
    kind: Kind
    found: str
    remedy: str
    sql: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {**asdict(self), "severity": self.severity.value, "kind": self.kind.value}


@dataclass(frozen=True, slots=True)
class Examination:
    """What is looked at beyond `preflight`, read beforehand."""

    server: Server
    slot: str
    retention: Retention | None
    snapshot: Retention | None
    """The slot of a snapshot that is under way or was cut off."""
    free_slots: int
    held: Position | None
    """The last position that the topics hold."""


def diagnose(settings: Settings) -> tuple[Diagnosis, ...]:
    """Examine database and topics; errors come first. Raises nothing that a diagnosis can say."""
    found: list[Diagnosis] = []
    partitions = _topics(settings, found)
    try:
        with closing(connect(settings.database_url.get_secret_value())) as connection:
            found += _database(settings, connection, partitions)
    except CdcError as error:
        found.append(_failed(error))
    found += _registry(settings)
    return tuple(sorted(found, key=lambda each: each.severity is not Severity.ERROR))


def examine(given: Examination) -> Iterator[Diagnosis]:
    """Give what is wrong with the slot and the WAL that it holds back."""
    slot, retention = given.slot, given.retention
    if retention is None:
        yield from _no_slot(given)
    elif retention.wal_status == "unreserved":
        yield Diagnosis(
            Severity.ERROR,
            Kind.SLOT_INVALIDATED,
            f"the slot {slot} is beyond max_slot_wal_keep_size: wal_status is unreserved, {_retained(retention)}; "
            "the next checkpoint may invalidate it",
            "Let the engine catch up now, or allow the slot more WAL.",
            _keep_sql(retention.retained_bytes),
        )
    elif not retention.active and retention.wal_status != "lost":
        yield Diagnosis(
            Severity.WARNING,
            Kind.SLOT_ACTIVE,
            f"nobody reads the slot {slot} (wal_status {retention.wal_status}), {_retained(retention)}",
            "Start the engine; drop the slot only if its changes are wanted no more.",
            drop_sql(slot),
        )
    keep = given.server.slot_wal_keep_mb
    if keep is not None and keep < 0:
        yield Diagnosis(
            Severity.WARNING,
            Kind.WAL_BUDGET,
            "max_slot_wal_keep_size is unlimited: while the engine is away its slot may fill the server's disk",
            "Set a limit well above the WAL of the longest absence; beyond it the slot is lost and the disk is not.",
            _keep_sql(None),
        )


def _no_slot(given: Examination) -> Iterator[Diagnosis]:
    if given.snapshot is not None:
        state = "under way" if given.snapshot.active else "under way or was cut off"
        yield Diagnosis(
            Severity.WARNING,
            Kind.SNAPSHOT_INTERRUPTED,
            f"the initial snapshot of the slot {given.slot} is {state}, {_retained(given.snapshot)}",
            "Leave the engine running, or start it: it goes on where the snapshot stopped.",
        )
    elif given.held is not None:
        found = f"there is no slot {given.slot}, but the topic holds records up to {describe(given.held)}"
        yield Diagnosis(Severity.ERROR, Kind.SLOT_LOST, found, _remedy(Kind.SLOT_LOST))
    else:
        yield Diagnosis(
            Severity.WARNING,
            Kind.SLOT_LOST,
            f"there is no slot {given.slot} yet",
            "Start the engine: it creates the slot and takes the initial snapshot.",
        )
    if given.free_slots <= 0:
        found = "every replication slot that max_replication_slots allows is taken"
        statement = "SELECT slot_name, active, wal_status FROM pg_replication_slots;"
        yield Diagnosis(Severity.ERROR, Kind.NO_FREE_SLOT, found, _remedy(Kind.NO_FREE_SLOT), statement)


def _topics(settings: Settings, found: list[Diagnosis]) -> Mapping[TopicName, int]:
    partitions: dict[TopicName, int] = {}
    for topic in settings.topics:
        try:
            partitions |= count_partitions(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, [topic])
        except CdcError as error:
            found.append(_failed(error, f"the topic {topic}: " if error.kind is Kind.TOPIC else ""))
            if error.kind is not Kind.TOPIC:
                break
    return partitions


def _dead_letters(settings: Settings, source: bytes, topics: Mapping[TopicName, int]) -> Iterator[Diagnosis]:
    destinations = settings.dead_letter_topics
    given = settings.kafka_bootstrap_servers, settings.cdc_kafka_config
    try:
        existing = read_sizes(*given, (*destinations, *destinations.values()))
        found = letters_of(settings, seconds=LOOK_S)
    except CdcError as error:
        yield _failed(error)
        return
    for finding in preflight.check_dead_letters({topic: destinations[topic] for topic in topics}, existing):
        yield Diagnosis(Severity.WARNING, finding.kind, finding.message, finding.remedy)
    for topic, count in Counter(letter.topic for letter in found.waiting if letter.source == source).items():
        many = f"{count}" if found.complete else f"at least {count}"
        yield Diagnosis(
            Severity.WARNING,
            Kind.DEAD_LETTERS,
            f"{many} dead letters of {topic} wait in {destinations.get(topic)}",
            _remedy(Kind.DEAD_LETTERS),
        )


def _database(
    settings: Settings, connection: Connection[Any], partitions: Mapping[TopicName, int]
) -> Iterator[Diagnosis]:
    server = read_server(connection)
    name, publication, wanted = settings.slot_name, settings.publication_name, settings.cdc_tables
    missing = missing_tables(connection, wanted)
    installation = preflight.Installation(
        server,
        publication,
        read_tables(connection, publication),
        wanted,
        frozenset(wanted) - missing,
        read_slot(connection, name),
        publication_exists(connection, publication),
    )
    for finding in preflight.check(installation):
        severity = Severity.ERROR if finding.stops else Severity.WARNING
        yield Diagnosis(severity, finding.kind, finding.message, finding.remedy, finding.sql)
    for table in unreadable_tables(connection, [table for table in wanted if table not in missing]):
        statement = sql.SQL("GRANT SELECT ON {} TO {};").format(
            sql.Identifier(table.schema, table.name), sql.Identifier(server.user)
        )
        found = f"the role {server.user} may not read {table}, which the snapshot needs"
        remedy = _remedy(Kind.REPLICATION_RIGHT)
        yield Diagnosis(Severity.ERROR, Kind.REPLICATION_RIGHT, found, remedy, statement.as_string())
    held = None
    try:
        search = Search(server.source)
        bootstrap, config = settings.kafka_bootstrap_servers, settings.cdc_kafka_config
        held = furthest(read_tails(bootstrap, config, partitions, search, _no_wait, settled=False))
    except CdcError as error:
        yield _failed(error)
    if held is not None and held.lsn > server.wal_end:
        found = f"the topic holds records up to {describe(held)}, which the server has not reached yet"
        yield Diagnosis(Severity.ERROR, Kind.HISTORY_REWOUND, found, _remedy(Kind.HISTORY_REWOUND))
    if settings.dead_letter_topics and partitions:
        yield from _dead_letters(settings, server.source, partitions)
    retention = read_retention(connection, name)
    snapshot = read_retention(connection, snapshot_name(name))
    yield from examine(Examination(server, name, retention, snapshot, free_slots(connection), held))


def _registry(settings: Settings) -> Iterator[Diagnosis]:
    try:
        level = registry_level(settings)
    except CdcError as error:
        yield _failed(error)
        return
    if level == "NONE":
        yield Diagnosis(
            Severity.WARNING,
            Kind.SCHEMA_INCOMPATIBLE,
            "the schema registry checks no compatibility unless a subject asks for it",
            'Let it ask by default: PUT /config {"compatibility": "BACKWARD"}; a table may change its types unnoticed.',
        )


def _failed(error: CdcError, before: str = "") -> Diagnosis:
    return Diagnosis(Severity.ERROR, error.kind, f"{before}{error}", _remedy(error.kind))


def _remedy(kind: Kind) -> str:
    decision = decide(kind)
    return decision.remedy if isinstance(decision, Stop) else _REACH.get(kind, "It may pass by itself.")


def _retained(retention: Retention) -> str:
    size = retention.retained_bytes
    return "its retained WAL is unknown" if size is None else f"it retains {size} bytes of WAL"


def _keep_sql(retained: int | None) -> str:
    megabytes = max(10_240, 2 * (retained or 0) // 1_048_576)
    return f"ALTER SYSTEM SET max_slot_wal_keep_size = '{megabytes}MB'; SELECT pg_reload_conf();"


def _no_wait() -> None:
    """Keep nothing alive: no slot is held."""
