"""Owns the examination of an installation from outside: every fault and doubt, its remedy and the SQL for it.

It only reads, takes no slot, and needs no engine to run: what the engine checks before it starts (`preflight`), and
what can go wrong beside it. A part that cannot be reached is a finding too; the other part is examined all the same.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from cdc import preflight
from cdc.catalog import Server, missing_tables, read_server, read_tables, unreadable_tables
from cdc.errors import CdcError, Kind
from cdc.formats.choice import registry_level
from cdc.letters.letterbox import LOOK_S, letters_of
from cdc.lsn import Lsn, Position
from cdc.postgres import connect
from cdc.readback import Search, count_partitions, read_tails
from cdc.records import TopicName
from cdc.session import describe, furthest
from cdc.settings import Settings
from cdc.shards.names import history_of
from cdc.shards.plan import Birth, Run, plan
from cdc.shards.store import parts_in_use, read_seen
from cdc.slots.bookmark import judge
from cdc.slots.failover import possible, waited_for
from cdc.slots.shelf import KafkaShelf
from cdc.slots.slot import (
    Retention,
    Slot,
    drop_sql,
    free_slots,
    publication_exists,
    publication_oid,
    read_omitted,
    read_retention,
    read_slot,
    snapshot_name,
)
from cdc.topics import read_sizes
from cdc.watch.diagnosis import Diagnosis, Severity, failed, remedy_of


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
            found += _shards(settings, connection)
            for part in parts_in_use(connection, settings.slot_name):
                own = settings.of(part).model_copy(update={"cdc_messages": settings.cdc_messages})
                found += _database(own, connection, partitions)
    except CdcError as error:
        found.append(failed(error))
    found += _registry(settings)
    # What is no shard's own is found with each of them.
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.severity.rank))


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


def advise(installation: preflight.Installation, has_standby: bool, waited: str) -> Iterator[Diagnosis]:
    """Give what is no fault and still worth knowing: what the publication leaves out, and failover slots."""
    name = installation.publication
    for table in installation.published:
        if table.name not in installation.wanted:
            continue
        if table.withheld:
            found = f"the publication {name} leaves out columns of {table.name}: {', '.join(table.withheld)}"
            yield Diagnosis(Severity.INFO, Kind.PUBLICATION, found, "Nothing to do if that is meant.")
        if table.row_filter is not None:
            found = f"the publication {name} sends only rows of {table.name} with {table.row_filter}"
            yield Diagnosis(Severity.INFO, Kind.PUBLICATION, found, "Nothing to do if that is meant.")
    slot = installation.slot
    if slot is None or not possible(installation.server):
        return
    if slot.failover is False:
        found = f"the slot {slot.name} is no failover slot: after a failover to a standby it is not there"
        yield Diagnosis(Severity.INFO, Kind.FAILOVER, found, remedy_of(Kind.FAILOVER))
    elif slot.failover and has_standby and not waited:
        found = "synchronized_standby_slots is empty: the engine may be ahead of the standby that is promoted"
        remedy = "Name there the physical slots of the standbys that may become primary."
        yield Diagnosis(Severity.INFO, Kind.FAILOVER, found, remedy)


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
        yield Diagnosis(Severity.ERROR, Kind.SLOT_LOST, found, remedy_of(Kind.SLOT_LOST))
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
        yield Diagnosis(Severity.ERROR, Kind.NO_FREE_SLOT, found, remedy_of(Kind.NO_FREE_SLOT), statement)


def _topics(settings: Settings, found: list[Diagnosis]) -> Mapping[TopicName, int]:
    partitions: dict[TopicName, int] = {}
    for topic in settings.topics:
        try:
            partitions |= count_partitions(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, [topic])
        except CdcError as error:
            found.append(failed(error, f"the topic {topic}: " if error.kind is Kind.TOPIC else ""))
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
        yield failed(error)
        return
    for finding in preflight.check_dead_letters({topic: destinations[topic] for topic in topics}, existing):
        yield Diagnosis(Severity.WARNING, finding.kind, finding.message, finding.remedy)
    for topic, count in Counter(
        letter.topic for letter in found.waiting if history_of(letter.source) == source
    ).items():
        many = f"{count}" if found.complete else f"at least {count}"
        yield Diagnosis(
            Severity.WARNING,
            Kind.DEAD_LETTERS,
            f"{many} dead letters of {topic} wait in {destinations.get(topic)}",
            remedy_of(Kind.DEAD_LETTERS),
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
        read_omitted(connection, publication),
    )
    for finding in preflight.check(installation):
        severity = Severity.ERROR if finding.stops else Severity.WARNING
        yield Diagnosis(severity, finding.kind, finding.message, finding.remedy, finding.sql)
    yield from advise(installation, *waited_for(connection))
    for table in unreadable_tables(connection, [table for table in wanted if table not in missing]):
        statement = sql.SQL("GRANT SELECT ON {} TO {};").format(
            sql.Identifier(table.schema, table.name), sql.Identifier(server.user)
        )
        found = f"the role {server.user} may not read {table}, which the snapshot needs"
        remedy = remedy_of(Kind.REPLICATION_RIGHT)
        yield Diagnosis(Severity.ERROR, Kind.REPLICATION_RIGHT, found, remedy, statement.as_string())
    held = None
    try:
        search = Search(server.source, any_shard=True)
        bootstrap, config = settings.kafka_bootstrap_servers, settings.cdc_kafka_config
        held = furthest(read_tails(bootstrap, config, partitions, search, _no_wait, settled=False))
    except CdcError as error:
        yield failed(error)
    if partitions:
        yield from _identity(settings, server, installation.slot, publication_oid(connection, publication))
    if held is not None and held.lsn > server.wal_end:
        found = f"the topic holds records up to {describe(held)}, which the server has not reached yet"
        yield Diagnosis(Severity.ERROR, Kind.HISTORY_REWOUND, found, remedy_of(Kind.HISTORY_REWOUND))
    if settings.dead_letter_topics and partitions:
        yield from _dead_letters(settings, server.source, partitions)
    retention = read_retention(connection, name)
    snapshot = read_retention(connection, snapshot_name(name))
    yield from examine(Examination(server, name, retention, snapshot, free_slots(connection), held))


def _shards(settings: Settings, connection: Connection[Any]) -> Iterator[Diagnosis]:
    """Give what is wrong with the slots of shards as a set; each of them is examined by itself."""
    try:
        step = plan(read_seen(connection, settings.slot_name), settings.cdc_shards, lambda _: True)
    except CdcError as error:
        yield failed(error)
        return
    if not isinstance(step, Birth | Run):
        found = f"the number of shards is not what CDC_SHARDS={settings.cdc_shards} asks for: {step.words}"
        yield Diagnosis(
            Severity.INFO, Kind.RESHARDED, found, "Start the engine: it changes the number, or goes on with it."
        )


def _registry(settings: Settings) -> Iterator[Diagnosis]:
    try:
        level = registry_level(settings)
    except CdcError as error:
        yield failed(error)
        return
    if level == "NONE":
        yield Diagnosis(
            Severity.WARNING,
            Kind.SCHEMA_INCOMPATIBLE,
            "the schema registry checks no compatibility unless a subject asks for it",
            'Let it ask by default: PUT /config {"compatibility": "BACKWARD"}; a table may change its types unnoticed.',
        )


def _identity(settings: Settings, server: Server, slot: Slot | None, oid: int | None) -> Iterator[Diagnosis]:
    """Compare slot and publication, whose oid is given, with what Kafka remembers; they were read before."""
    source, name = server.source.decode(), settings.slot_name
    try:
        shelf = KafkaShelf.of(settings)
        if shelf is not None:
            with closing(shelf):
                known = shelf.read(_no_wait)
            confirmed = Lsn(0) if slot is None or slot.confirmed is None else slot.confirmed
            judge(known, source, name, confirmed, accepted=settings.cdc_accept_gap, publication=oid)
    except CdcError as error:
        yield failed(error)


def _retained(retention: Retention) -> str:
    size = retention.retained_bytes
    return "its retained WAL is unknown" if size is None else f"it retains {size} bytes of WAL"


def _keep_sql(retained: int | None) -> str:
    megabytes = max(10_240, 2 * (retained or 0) // 1_048_576)
    return f"ALTER SYSTEM SET max_slot_wal_keep_size = '{megabytes}MB'; SELECT pg_reload_conf();"


def _no_wait() -> None:
    """Keep nothing alive: no slot is held."""
