"""Each fault of an installation is a finding with its remedy, before anything is read or written."""

from dataclasses import replace

import pytest

from cdc.catalog import Server, Table
from cdc.errors import Kind
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Column, ReplicaIdentity
from cdc.preflight import Finding, Installation, PreflightError, check
from cdc.slots.slot import Slot
from cdc.tables import TableName

NAME = TableName("public", "event_headers")
SERVER = Server("7", "db", 180004, "logical", Lsn(8), "me", may_replicate=True)
TABLE = Table(NAME, 1, False, ReplicaIdentity.DEFAULT, (Column("id", 25, -1, True),), ("id",), (), None)
SLOT = Slot("s", "pgoutput", "db", active=False, confirmed=Lsn(8), lost=False)
SOUND = Installation(SERVER, "pub", (TABLE,), (NAME,), frozenset({NAME}), SLOT)


def test_a_sound_installation_has_no_findings() -> None:
    """Also before the slot exists."""
    assert check(SOUND) == ()
    assert check(replace(SOUND, slot=None)) == ()


KEYLESS = replace(TABLE, columns=(Column("id", 25, -1, False),), primary_key=())


@pytest.mark.parametrize(
    ("installation", "kind", "remedy"),
    [
        (replace(SOUND, server=replace(SERVER, version=140010)), Kind.SERVER_VERSION, "15"),
        (replace(SOUND, server=replace(SERVER, wal_level="replica")), Kind.WAL_LEVEL, "wal_level = logical"),
        (replace(SOUND, server=replace(SERVER, may_replicate=False)), Kind.REPLICATION_RIGHT, "rds_replication"),
        (replace(SOUND, published=(), existing=frozenset()), Kind.TABLE, "CDC_TABLES"),
        (
            replace(SOUND, published=()),
            Kind.PUBLICATION,
            '"pub" ADD TABLE "public"."event_headers"; or, if it does not exist: CREATE PUBLICATION "pub" FOR TABLE',
        ),
        (replace(SOUND, slot=replace(SLOT, plugin="test_decoding")), Kind.SLOT_FOREIGN, "SLOT_NAME"),
        (replace(SOUND, slot=replace(SLOT, database="other")), Kind.SLOT_FOREIGN, "SLOT_NAME"),
        (replace(SOUND, slot=replace(SLOT, lost=True)), Kind.SLOT_INVALIDATED, "when_needed"),
    ],
)
def test_a_fault_is_found_and_stops(installation: Installation, kind: Kind, remedy: str) -> None:
    """Its remedy says what to do, with the statement where there is one (CD-3, CD-4)."""
    (finding,) = check(installation)
    assert finding.stops
    assert finding.kind is kind
    assert remedy in finding.remedy


NOTHING = replace(TABLE, replica_identity=ReplicaIdentity.NOTHING, columns=(Column("id", 25, -1, False),))


@pytest.mark.parametrize(
    ("installation", "statement"),
    [
        (replace(SOUND, server=replace(SERVER, wal_level="replica")), "ALTER SYSTEM SET wal_level = 'logical';"),
        (replace(SOUND, server=replace(SERVER, may_replicate=False)), 'ALTER ROLE "me" REPLICATION;'),
        (replace(SOUND, published=()), 'ALTER PUBLICATION "pub" ADD TABLE "public"."event_headers";'),
        (
            replace(SOUND, published=(), has_publication=False),
            'CREATE PUBLICATION "pub" FOR TABLE "public"."event_headers";',
        ),
        (replace(SOUND, published=(NOTHING,)), 'ALTER TABLE "public"."event_headers" REPLICA IDENTITY DEFAULT;'),
        (replace(SOUND, published=(KEYLESS,)), 'ALTER TABLE "public"."event_headers" REPLICA IDENTITY FULL;'),
        (replace(SOUND, slot=replace(SLOT, lost=True)), "SELECT pg_drop_replication_slot('s');"),
        (replace(SOUND, slot=replace(SLOT, plugin="test_decoding")), None),
    ],
)
def test_the_statement_that_cures_it_comes_with_the_finding(installation: Installation, statement: str | None) -> None:
    """As it can be executed; None where no statement does. The first finding is the one that stops, or weighs most."""
    finding, *_ = check(installation)
    assert finding.sql == statement


def test_a_table_too_many_in_the_publication_is_a_doubt() -> None:
    """It costs the server work, but loses nothing."""
    other = replace(TABLE, name=TableName("public", "other"))
    (finding,) = check(replace(SOUND, published=(TABLE, other)))
    assert not finding.stops
    assert "public.other" in finding.message


def test_a_table_without_order_is_a_doubt() -> None:
    """REPLICA IDENTITY FULL without a key: a snapshot cut off begins it again."""
    full = replace(TABLE, replica_identity=ReplicaIdentity.FULL, primary_key=())
    (finding,) = check(replace(SOUND, published=(full,)))
    assert (finding.kind, finding.stops) == (Kind.TABLE_KEY, False)


def test_all_findings_come_at_once_those_that_stop_first() -> None:
    """Nobody has to start ten times to learn of ten faults."""
    other = replace(TABLE, name=TableName("public", "other"))
    broken = replace(SOUND, published=(TABLE, other), server=replace(SERVER, wal_level="minimal", may_replicate=False))
    findings = check(broken)
    assert [finding.stops for finding in findings] == [True, True, False]


def test_the_error_is_of_the_first_findings_kind() -> None:
    """The policy decides by it; all the messages are in the text."""
    findings = [Finding(Kind.WAL_LEVEL, "one", "r"), Finding(Kind.TABLE, "two", "r")]
    error = PreflightError(findings)
    assert (error.kind, str(error)) == (Kind.WAL_LEVEL, "one; two")


def test_a_table_without_an_identity_is_a_doubt() -> None:
    """Its inserts are captured; that the server refuses the rest is said at the start."""
    findings = check(replace(SOUND, published=(KEYLESS,)))
    assert [(finding.kind, finding.stops) for finding in findings] == [(Kind.TABLE_KEY, False)] * 2
    assert "keyed by the whole row" in findings[0].message
    assert "primary key" in findings[0].remedy


NARROW = replace(TABLE, columns=(Column("name", 25, -1, False),), withheld=("id", "note"), row_filter="id > 5")


def test_a_column_list_without_the_identity_stops() -> None:
    """The server would refuse the users' updates; the statement adds what lacks and keeps the filter and the rest."""
    finding = check(replace(SOUND, published=(NARROW,)))[0]
    assert (finding.kind, finding.stops) == (Kind.PUBLICATION, True)
    assert "lacks id of its replica identity" in finding.message
    assert finding.sql == (
        'ALTER PUBLICATION "pub" DROP TABLE "public"."event_headers"; '
        'ALTER PUBLICATION "pub" ADD TABLE "public"."event_headers" ("id", "name") WHERE (id > 5);'
    )


def test_a_full_identity_takes_no_column_list() -> None:
    """Every column is the identity, so the list has to go."""
    full = replace(NARROW, replica_identity=ReplicaIdentity.FULL, row_filter=None)
    finding = check(replace(SOUND, published=(full,)))[0]
    assert finding.sql is not None
    assert finding.sql.endswith('ADD TABLE "public"."event_headers";')
    assert "lacks id, note" in finding.message


@pytest.mark.parametrize("omitted", [(), ("update", "delete")])
def test_a_column_list_with_the_identity_or_for_inserts_alone_is_no_fault(omitted: tuple[str, ...]) -> None:
    """Column lists and row filters are the publication's to decide."""
    table = replace(TABLE, withheld=("note",), row_filter="id > 5") if not omitted else NARROW
    assert not any(finding.stops for finding in check(replace(SOUND, published=(table,), omitted=omitted)))


def test_an_operation_that_is_not_sent_is_a_doubt() -> None:
    """Somebody may mean it; nobody should find out by missing deletions."""
    (finding,) = check(replace(SOUND, omitted=("delete", "truncate")))
    assert not finding.stops
    assert "delete, truncate" in finding.message
    assert finding.sql == """ALTER PUBLICATION "pub" SET (publish = 'insert, update, delete, truncate');"""
