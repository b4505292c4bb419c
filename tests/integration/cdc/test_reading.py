"""One reading of the stream takes what the server has sent, up to its limits."""

from typing import Any

import pytest

from cdc.errors import DatabaseError, Kind
from cdc.pgoutput.messages import Commit
from tests.waiting import eventually

TRANSACTIONS = 300


@pytest.fixture
def listener(database: Any, slot: str, listen: Any) -> Any:
    """A listener to which the server has sent some hundred transactions, of which nothing was read."""
    database.run("CREATE PUBLICATION p FOR TABLE event_headers")
    made = listen(slot, "public.event_headers")
    for number in range(TRANSACTIONS):
        database.insert(f"e-{number}")
    end = database.wal_end()
    sent = "SELECT max(sent_lsn - '0/0'::pg_lsn) FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid"
    eventually(
        lambda: (database.run(f"{sent} WHERE slot_name = %s", slot)[0][0] or 0) >= end, "the server has sent everything"
    )
    return made


def test_a_reading_takes_all_that_has_come(listener: Any) -> None:
    """Not only the 16 kB that libpq hands on at a time: a round costs as much for few events as for many."""
    # Begin, insert and commit of each, and keepalives between; a thousand events are a reading's limit.
    assert len(listener.stream.read(1)) >= 3 * TRANSACTIONS


def test_what_came_before_the_end_of_a_connection_is_handed_on(database: Any, slot: str, listener: Any) -> None:
    """First the events, then the end: or an engine that meets the same end at each attempt would never move."""
    pid = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
    database.run(f"SELECT pg_terminate_backend(({pid}))", slot)
    eventually(lambda: database.run(pid, slot) == [(None,)], "the server process is gone")
    seen: list[Commit] = []

    def read_on() -> None:
        while events := listener.stream.read(1):
            seen.extend(event for event in events if isinstance(event, Commit))

    with pytest.raises(DatabaseError) as caught:
        read_on()
    assert len(seen) == TRANSACTIONS
    assert caught.value.kind is not Kind.DATABASE
    with pytest.raises(DatabaseError) as again:
        listener.stream.confirm(seen[-1].end_lsn)
    assert again.value is caught.value, "not what the dead connection says of it"
