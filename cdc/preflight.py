"""Owns the checks before the engine streams: each looks at one thing and returns findings with their remedies.

A finding is a fact about the installation. An error raised while checking is another thing: the check could not run.
"""

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from psycopg import sql

from cdc.catalog import OLDEST_SERVER, Server, Table
from cdc.errors import CdcError, Kind
from cdc.pgoutput.messages import ReplicaIdentity
from cdc.policy import Stop, decide
from cdc.records import TopicName
from cdc.slots.slot import PLUGIN, PUBLISHED, Slot, drop_sql, publication_sql
from cdc.tables import TableName


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault or doubt: what is found, and what to do about it. A doubt does not stop the engine."""

    kind: Kind
    message: str
    remedy: str
    stops: bool = True
    sql: str | None = None
    """The statement that cures it, where one does."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What the checks look at, read beforehand."""

    server: Server
    publication: str
    published: Sequence[Table]
    wanted: Sequence[TableName]
    existing: frozenset[TableName]
    """Those of the wanted tables that exist, published or not."""
    slot: Slot | None
    has_publication: bool = True
    omitted: tuple[str, ...] = ()
    """Operations that the publication does not send."""


class PreflightError(CdcError):
    """The installation does not allow the engine to run; `findings` say why, one by one."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(findings[0].kind, "; ".join(finding.message for finding in findings))
        self.findings = tuple(findings)


def check(installation: Installation) -> tuple[Finding, ...]:
    """Return the findings of every check, those that stop first."""
    findings = [finding for each in _CHECKS for finding in each(installation)]
    return tuple(sorted(findings, key=lambda finding: not finding.stops))


def check_dead_letters(
    destinations: Mapping[TopicName, TopicName], existing: Container[TopicName]
) -> Iterator[Finding]:
    """Give a doubt for each topic without its dead-letter topic: the first poison record would stop the engine.

    Args:
        destinations: The dead-letter topic of every topic.
        existing: The topics that exist.
    """
    for topic, letters in destinations.items():
        if topic in existing and letters not in existing:
            message = f"there is no dead-letter topic {letters}: a record that {topic} cannot take stops the engine"
            remedy = (
                f"kafka-topics.sh --bootstrap-server <broker> --create --topic {letters} --partitions 1 "
                "--config retention.ms=1209600000; then start the engine again."
            )
            yield Finding(Kind.DEAD_LETTER_TOPIC, message, remedy, stops=False)


def _server(installation: Installation) -> Iterator[Finding]:
    server = installation.server
    if server.version < OLDEST_SERVER:
        yield _found(Kind.SERVER_VERSION, f"the server's version is {server.version // 10_000}")
    if server.wal_level != "logical":
        yield _found(Kind.WAL_LEVEL, f"wal_level is {server.wal_level}", "ALTER SYSTEM SET wal_level = 'logical';")
    if not server.may_replicate:
        statement = sql.SQL("ALTER ROLE {} REPLICATION;").format(sql.Identifier(server.user)).as_string()
        yield _found(Kind.REPLICATION_RIGHT, f"the role {server.user} may not replicate", statement)


def _tables(installation: Installation) -> Iterator[Finding]:
    published = {table.name for table in installation.published}
    for name in installation.wanted:
        if name not in installation.existing:
            yield _found(Kind.TABLE, f"there is no table {name}")
        elif name not in published:
            statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
                sql.Identifier(installation.publication), sql.Identifier(name.schema, name.name)
            )
            message = f"the publication {installation.publication} does not have the table {name}"
            if not installation.has_publication:
                message = f"there is no publication {installation.publication}, so it does not have the table {name}"
            create = publication_sql(installation.publication, installation.wanted)
            remedy = (
                f"{statement.as_string()}; or, if it does not exist: {create}; of a partitioned table, list the"
                " partitions in CDC_TABLES, or let the publication SET (publish_via_partition_root = true)."
            )
            yield Finding(
                Kind.PUBLICATION,
                message,
                remedy,
                sql=f"{statement.as_string() if installation.has_publication else create};",
            )
    for name in sorted(published - set(installation.wanted), key=str):
        message = f"the publication {installation.publication} sends {name}, which is not in CDC_TABLES"
        remedy = "Add it to CDC_TABLES or take it out of the publication."
        statement = sql.SQL("ALTER PUBLICATION {} DROP TABLE {};").format(
            sql.Identifier(installation.publication), sql.Identifier(name.schema, name.name)
        )
        yield Finding(Kind.PUBLICATION, message, remedy, stops=False, sql=statement.as_string())


def _publication(installation: Installation) -> Iterator[Finding]:
    name, omitted = installation.publication, installation.omitted
    if omitted:
        message = f"the publication {name} does not send {', '.join(omitted)}: such changes are not captured"
        statement = sql.SQL("ALTER PUBLICATION {} SET (publish = {});").format(
            sql.Identifier(name), sql.Literal(", ".join(PUBLISHED))
        )
        remedy = "Leave it if that is meant; otherwise let the publication send them."
        yield Finding(Kind.PUBLICATION, message, remedy, stops=False, sql=statement.as_string())
    if {"update", "delete"} <= set(omitted):
        # The server wants the identity for these alone.
        return
    for table in installation.published:
        identity = _identity(table)
        lacking = [column for column in table.withheld if column in identity]
        if table.name in installation.wanted and lacking:
            message = (
                f"the column list of {table.name} in the publication {name} lacks {', '.join(lacking)} of its replica "
                "identity: the server refuses its updates and deletions"
            )
            cure = _column_list_sql(name, table, lacking)
            yield Finding(Kind.PUBLICATION, message, f"Publish these columns too: {cure}", sql=cure)


def _identity(table: Table) -> Collection[str]:
    return {
        ReplicaIdentity.DEFAULT: table.primary_key,
        ReplicaIdentity.INDEX: table.identity_index,
        ReplicaIdentity.FULL: table.withheld,
        ReplicaIdentity.NOTHING: (),
    }[table.replica_identity]


def _column_list_sql(publication: str, table: Table, lacking: Sequence[str]) -> str:
    # There is no statement that changes the list of one table and leaves the others alone.
    given = {"p": sql.Identifier(publication), "t": sql.Identifier(table.name.schema, table.name.name)}
    parts = [sql.SQL("ALTER PUBLICATION {p} DROP TABLE {t}; ALTER PUBLICATION {p} ADD TABLE {t}").format(**given)]
    if table.replica_identity is not ReplicaIdentity.FULL:
        listed = [*lacking, *(column.name for column in table.columns)]
        parts.append(sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, listed))))
    statement = sql.Composed(parts).as_string()
    return f"{statement};" if table.row_filter is None else f"{statement} WHERE ({table.row_filter});"


def _keys(installation: Installation) -> Iterator[Finding]:
    for table in installation.published:
        if table.name not in installation.wanted:
            continue
        if not any(column.is_key for column in table.columns):
            message = f"{table.name} has no replica identity: the server refuses its updates and deletions"
            key = "primary key" if table.primary_key else "whole row"
            message = f"{message}, and its inserts are keyed by the {key}"
            yield replace(_found(Kind.TABLE_KEY, message, _identity_sql(table)), stops=False)
        if not table.order:
            message = f"{table.name} has no unique key; a snapshot that is cut off begins this table again"
            yield Finding(Kind.TABLE_KEY, message, "Give it a primary key.", stops=False)


def _slot(installation: Installation) -> Iterator[Finding]:
    slot = installation.slot
    if slot is None:
        return
    if slot.plugin != PLUGIN or slot.database != installation.server.database:
        message = f"the slot {slot.name} is one of plug-in {slot.plugin} in database {slot.database}"
        yield _found(Kind.SLOT_FOREIGN, message)
    elif slot.lost:
        yield _found(Kind.SLOT_INVALIDATED, f"the slot {slot.name} has lost WAL that it needs", drop_sql(slot.name))


_CHECKS: Final[tuple[Callable[[Installation], Iterator[Finding]], ...]] = (_server, _tables, _publication, _keys, _slot)


def _identity_sql(table: Table) -> str:
    # Without a key every column together is one; a primary key is better, but which columns is not ours to say.
    identity = "DEFAULT" if table.primary_key else "FULL"
    name = sql.Identifier(table.name.schema, table.name.name)
    return sql.SQL("ALTER TABLE {} REPLICA IDENTITY {};").format(name, sql.SQL(identity)).as_string()


def _found(kind: Kind, message: str, statement: str | None = None) -> Finding:
    decision = decide(kind)
    remedy = decision.remedy if isinstance(decision, Stop) else "It may pass by itself."
    return Finding(kind, message, remedy, sql=statement)
