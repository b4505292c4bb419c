"""What a change of engines asks of a real slot, on each PostgreSQL: what it holds, and who may have it."""

from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from cdc.debezium.deploy import Found, examine
from cdc.debezium.remainder import Progress, Settlement, advance, peek, settle
from cdc.errors import CdcError, Kind
from cdc.lsn import LARGEST_LSN, Lsn, parse_lsn
from cdc.settings import Settings
from cdc.stream import ReplicationConnection


@pytest.fixture
def settings(database, slot) -> Settings:
    """The engine's settings for the test's database."""
    return Settings(database_url=SecretStr(database.url), kafka_bootstrap_servers="unused:1", slot_name=slot)


@pytest.fixture
def publication(database, settings: Settings) -> None:
    """The publication of the captured table, whether or not the schema brings it."""
    database.run(f"DROP PUBLICATION IF EXISTS {settings.publication_name}")
    database.run(f"CREATE PUBLICATION {settings.publication_name} FOR TABLE event_headers")


@pytest.fixture
def held(database, slot: str, publication: None) -> Any:
    """The database, with a slot from here on and three transactions that it holds, two of them interleaved."""
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    database.run(
        "INSERT INTO business_events SELECT 'e' || n, 'n', NULL, NULL, NULL, '{}' FROM generate_series(1, 9) n"
    )
    insert = "INSERT INTO event_headers VALUES (%s, 'n', NULL, NULL, NULL, '{}')"
    with psycopg.connect(database.url) as first, psycopg.connect(database.url) as second:
        first.execute(insert, ("e1",))
        second.execute(insert, ("e2",))
        second.commit()
        first.execute("UPDATE event_headers SET event_type = 't' WHERE id = 'e1'")
        first.execute("DELETE FROM event_headers WHERE id = 'e1'")
        first.commit()
        with second.cursor().copy("COPY event_headers (id, event_name, header_data) FROM STDIN") as copy:
            for number in range(3, 9):
                copy.write_row((f"e{number}", "n", "{}"))
        second.commit()
    return database


def confirmed(database: Any, slot: str) -> Lsn:
    """Return the slot's confirmed LSN."""
    ((text,),) = database.run("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s", slot)
    return parse_lsn(text)


def test_a_slot_is_looked_at_without_being_consumed(held, settings: Settings) -> None:
    """Its transactions come in the order of their commits, with their changes and ends, as often as one asks."""
    once = peek(held.connection, settings, LARGEST_LSN)
    assert [len(each.changes) for each in once] == [1, 3, 6]
    assert all(each.changes[0].lsn < each.commit < each.end for each in once)
    # Begun first, committed second: why one LSN alone does not tell what was sent.
    assert once[1].changes[0].lsn < once[0].changes[0].lsn
    assert peek(held.connection, settings, LARGEST_LSN) == once


def test_a_transaction_that_was_sent_whole_is_confirmed_and_does_not_come_again(
    held, settings: Settings, slot: str
) -> None:
    """The offset that Connect has stored with a transaction's last record names the commit before it."""
    first, second, copy = peek(held.connection, settings, LARGEST_LSN)
    last = second.changes[-1]
    done = settle([first, second, copy], Progress(last.lsn, last.xid, first.end, snapshot=False), confirmed(held, slot))
    assert done == Settlement(second.end, 0)
    advance(held.connection, settings, done.confirmed)
    assert confirmed(held, slot) == second.end
    assert peek(held.connection, settings, LARGEST_LSN) == (copy,)


def test_rows_of_one_copy_share_an_lsn_and_come_again(held, settings: Settings) -> None:
    """Whichever of them Debezium saw last: the transaction is not taken for sent."""
    *before, copy = peek(held.connection, settings, LARGEST_LSN)
    assert len({change.lsn for change in copy.changes}) < len(copy.changes)
    seen = Progress(copy.changes[-1].lsn, copy.changes[-1].xid, before[-1].end, snapshot=False)
    assert settle([*before, copy], seen, before[0].commit) == Settlement(before[-1].end, 6)


def test_a_fit_installation_is_found_with_what_it_has(database, settings: Settings, slot: str) -> None:
    """Neither slot nor publication is needed: Debezium makes both (CD-61)."""
    database.run(f"DROP PUBLICATION IF EXISTS {settings.publication_name}")
    assert examine(settings, ours=False) == Found(slot=False, publication=False)
    database.run(f"CREATE PUBLICATION {settings.publication_name} FOR TABLE event_headers")
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    assert examine(settings, ours=False) == Found(slot=True, publication=True)


def test_a_table_that_is_not_there_is_found_before_anything_is_deployed(database, settings: Settings) -> None:
    """The check is the engine's own, with its kind (CD-3, CD-4)."""
    database.run("ALTER TABLE event_headers RENAME TO other")
    with pytest.raises(CdcError) as caught:
        examine(settings, ours=False)
    assert caught.value.kind is Kind.TABLE


def test_a_slot_that_somebody_reads_is_refused_unless_it_is_ours(held, settings: Settings, slot: str) -> None:
    """Two engines on one slot take changes away from each other (CD-8)."""
    with ReplicationConnection(held.url) as reader:
        reader.start(slot, settings.publication_name, deadline=30)
        with pytest.raises(CdcError) as caught:
            examine(settings, ours=False)
        assert caught.value.kind is Kind.SLOT_TAKEN
        assert examine(settings, ours=True).slot


def test_a_snapshot_that_our_engine_has_begun_is_left_to_it(database, settings: Settings, slot: str) -> None:
    """Its slot has another name until every row is sent; a connector would skip the rest."""
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", f"{slot}_snapshot")
    with pytest.raises(CdcError) as caught:
        examine(settings, ours=False)
    assert caught.value.kind is Kind.SNAPSHOT_UNFINISHED
