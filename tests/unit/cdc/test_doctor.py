"""What a slot and the WAL behind it look like decides what the doctor says, and how loudly."""

from dataclasses import replace

import pytest

from cdc.catalog import Server, Table
from cdc.errors import Kind
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import ReplicaIdentity
from cdc.preflight import Installation
from cdc.slots.slot import Retention, Slot
from cdc.tables import TableName
from cdc.watch.diagnosis import Severity
from cdc.watch.doctor import Examination, advise, examine

NAME = TableName("public", "event_headers")
SERVER = Server("7", "db", 180004, "logical", Lsn(8), "me", may_replicate=True, slot_wal_keep_mb=1024)
SLOT = Retention(True, "reserved", Lsn(8), 5000, 100)
SOUND = Examination(SERVER, "s", SLOT, None, 3, Position(Lsn(8), 4))


def test_a_slot_that_is_read_within_its_budget_is_sound() -> None:
    """Also while it holds more than the server would keep by itself."""
    assert list(examine(SOUND)) == []
    assert list(examine(replace(SOUND, retention=replace(SLOT, wal_status="extended")))) == []


def test_a_lost_slot_is_left_to_preflight() -> None:
    """One fault, one finding."""
    assert list(examine(replace(SOUND, retention=replace(SLOT, active=False, wal_status="lost")))) == []


@pytest.mark.parametrize(
    ("examination", "severity", "kind", "found", "statement"),
    [
        (
            replace(SOUND, retention=replace(SLOT, active=False)),
            Severity.WARNING,
            Kind.SLOT_ACTIVE,
            "it retains 5000 bytes of WAL",
            "SELECT pg_drop_replication_slot('s');",
        ),
        (
            replace(SOUND, retention=replace(SLOT, active=False, wal_status="unreserved", retained_bytes=8 << 30)),
            Severity.ERROR,
            Kind.SLOT_INVALIDATED,
            "it retains 8589934592 bytes of WAL",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '16384MB'; SELECT pg_reload_conf();",
        ),
        (
            replace(SOUND, server=replace(SERVER, slot_wal_keep_mb=-1)),
            Severity.WARNING,
            Kind.WAL_BUDGET,
            "unlimited",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '10240MB'; SELECT pg_reload_conf();",
        ),
        (replace(SOUND, retention=None), Severity.ERROR, Kind.SLOT_LOST, "holds records up to 0/8/4", None),
        (replace(SOUND, retention=None, held=None), Severity.WARNING, Kind.SLOT_LOST, "no slot s yet", None),
        (
            replace(SOUND, retention=None, snapshot=replace(SLOT, active=False)),
            Severity.WARNING,
            Kind.SNAPSHOT_INTERRUPTED,
            "cut off, it retains 5000 bytes",
            None,
        ),
    ],
)
def test_each_state_has_its_finding(
    examination: Examination, severity: Severity, kind: Kind, found: str, statement: str | None
) -> None:
    """With the bytes that are at stake, a remedy, and the statement where there is one."""
    (diagnosis,) = examine(examination)
    assert (diagnosis.severity, diagnosis.kind, diagnosis.sql) == (severity, kind, statement)
    assert found in diagnosis.found
    assert diagnosis.remedy


def test_no_room_for_a_slot_is_an_error_only_while_one_is_needed() -> None:
    """The engine could not create its slot; with its slot there it needs no other."""
    assert list(examine(replace(SOUND, free_slots=0))) == []
    kinds = [each.kind for each in examine(replace(SOUND, retention=None, held=None, free_slots=0))]
    assert kinds == [Kind.SLOT_LOST, Kind.NO_FREE_SLOT]


TABLE = Table(NAME, 1, False, ReplicaIdentity.DEFAULT, (), ("id",), (), "(id > 5)", withheld=("note",))
FAILOVER = Slot("s", "pgoutput", "db", active=True, confirmed=Lsn(8), lost=False, failover=True)
INSTALLED = Installation(SERVER, "pub", (TABLE,), (NAME,), frozenset({NAME}), FAILOVER)


def test_what_the_publication_leaves_out_is_worth_knowing() -> None:
    """A column list and a row filter are shown, and are no fault."""
    found = list(advise(INSTALLED, has_standby=False, waited=""))
    assert {each.severity for each in found} == {Severity.INFO}
    assert [each.found for each in found] == [
        "the publication pub leaves out columns of public.event_headers: note",
        "the publication pub sends only rows of public.event_headers with (id > 5)",
    ]


@pytest.mark.parametrize(
    ("installation", "has_standby", "waited", "found"),
    [
        (replace(INSTALLED, slot=replace(FAILOVER, failover=False)), False, "", "is no failover slot"),
        (INSTALLED, True, "", "synchronized_standby_slots is empty"),
        (INSTALLED, True, "standby", None),
        (INSTALLED, False, "", None),
        (replace(INSTALLED, server=replace(SERVER, version=160004)), True, "", None),
        (replace(INSTALLED, server=replace(SERVER, standby=True)), True, "", None),
        (replace(INSTALLED, slot=None), True, "", None),
    ],
)
def test_failover_slots_that_could_be_are_told(
    installation: Installation, has_standby: bool, waited: str, found: str | None
) -> None:
    """Only where the server has them, and the waiting only where there is a standby."""
    bare = replace(installation, published=())
    said = [each.found for each in advise(bare, has_standby, waited)]
    assert len(said) == (found is not None)
    assert found is None or found in said[0]
