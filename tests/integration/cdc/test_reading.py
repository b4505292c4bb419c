"""One reading of the stream takes what the server has sent, up to its limits."""

from typing import Any

from tests.waiting import eventually

TRANSACTIONS = 300


def test_a_reading_takes_all_that_has_come(database: Any, slot: str, listen: Any) -> None:
    """Not only the 16 kB that libpq hands on at a time: a round costs as much for few events as for many."""
    database.run("CREATE PUBLICATION p FOR TABLE event_headers")
    listener = listen(slot, "public.event_headers")
    for number in range(TRANSACTIONS):
        database.insert(f"e-{number}")
    end = database.wal_end()
    sent = "SELECT max(sent_lsn - '0/0'::pg_lsn) FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid"
    eventually(
        lambda: (database.run(f"{sent} WHERE slot_name = %s", slot)[0][0] or 0) >= end, "the server has sent everything"
    )
    # Begin, insert and commit of each.
    assert len(listener.stream.read(1)) >= 3 * TRANSACTIONS
