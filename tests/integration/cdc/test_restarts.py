"""Whatever is killed, frozen or restarted, the topic ends with every committed event once, in order (CD-110)."""

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
import pytest

from cdc.lsn import Position


class Load:
    """Transactions of one to four events at a steady rate, some updated, from a thread; survives a server's restart."""

    def __init__(self, database: Any, seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.committed: list[str] = []
        self.doubtful: set[str] = set()
        """Events whose commit was cut off: they may be there or not."""

    def _run(self) -> None:
        connection = None
        while not self._ended.wait(0.002):
            ids = [
                f"{len(self.committed) + len(self.doubtful):06}-{part}" for part in range(self._random.randint(1, 4))
            ]
            try:
                if connection is None:
                    connection = psycopg.connect(self._database.url, autocommit=True, connect_timeout=2)
                self._database.insert(*ids, connection=connection)
                self.committed += ids
                if self._random.random() < 0.3:
                    statement = "UPDATE event_headers SET event_type = 'Updated' WHERE id = %s"
                    connection.execute(statement, (self._random.choice(self.committed),))
            except psycopg.OperationalError:
                self.doubtful |= set(ids) - set(self.committed)
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Write in the background."""
        self._thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._thread.join()


def verify(topic: Any, load: Load) -> None:
    """Fail unless every committed event is there once, and each partition grows in positions without a repeat."""
    records = topic.records()
    once = Counter(record.key for record in records if record.operation in ("c", "r"))
    assert {key for key in load.committed if once[key] != 1} == set()
    assert {key for key, times in once.items() if times > 1} == set()
    assert once.keys() <= set(load.committed) | load.doubtful
    for partition in range(topic.partitions):
        positions = [
            Position.decode(record.headers["cdc.position"]) for record in records if record.partition == partition
        ]
        assert positions == sorted(set(positions))


def settled(database: Any, slot: str) -> Callable[[], bool]:
    """Return a condition: the slot has confirmed everything."""
    return lambda: database.confirmed(slot) >= database.wal_end()


@pytest.mark.slow
def test_kill_9_at_random_moments_loses_and_repeats_nothing(database, topic, launch, slot, wait_until) -> None:
    """Ten deaths under load: 0 lost, 0 repeated, order kept in every partition."""
    chance = random.Random(1)
    engine = launch()
    engine.wait_for("streaming")
    with Load(database, 1).running() as load:
        for _ in range(10):
            wanted = len(load.committed) + chance.randint(1, 120)
            wait_until(lambda wanted=wanted: len(load.committed) >= wanted, "some load")
            engine.kill()
            engine = launch()
            engine.wait_for("streaming")
    wait_until(settled(database, slot), "everything confirmed")
    verify(topic, load)


@pytest.mark.slow
def test_kill_9_in_the_middle_of_large_transactions(database, topic, launch, slot, wait_until) -> None:
    """Positions of one commit are told apart, so the rest of a cut transaction comes and nothing else."""
    chance = random.Random(2)
    # With few records under way it takes seconds for what would take a fraction of one.
    engine = launch(CDC_MAX_IN_FLIGHT_RECORDS="50")
    engine.wait_for("streaming")
    ids = [f"t{number:06}" for number in range(30_000)]
    database.insert(*ids)
    held = set()
    for _ in range(6):
        threading.Event().wait(chance.uniform(0.05, 0.4))
        engine.kill()
        engine = launch(CDC_MAX_IN_FLIGHT_RECORDS="50")
        held.add(engine.wait_for("streaming")["held"])
    assert len(held) > 1, "no kill hit the transaction"
    wait_until(settled(database, slot), "everything confirmed", 60)
    once = Counter(record.key for record in topic.records())
    assert once == Counter(ids)


def test_a_terminated_walsender_is_replaced(database, topic, launch, slot, wait_until) -> None:
    """The engine reconnects by itself and goes on where it was."""
    engine = launch()
    engine.wait_for("streaming")
    with Load(database, 3).running() as load:
        for number in range(3):
            there = len(load.committed)
            wait_until(lambda there=there: len(load.committed) > there + 50, "some load")
            database.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", slot)
            engine.wait_for("streaming", count=number + 2)
    wait_until(settled(database, slot), "everything confirmed")
    verify(topic, load)
    assert engine.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restarted_database_is_waited_for(server, database, topic, launch, slot, how, wait_until) -> None:
    """Fast shutdown or crash: the engine retries until the server is back, then resumes without loss (CD-10)."""
    engine = launch()
    engine.wait_for("streaming")
    with Load(database, 4).running() as load:
        wait_until(lambda: len(load.committed) > 100, "some load")
        server.stop(how)
        engine.wait_for("retrying")
        server.start()
        engine.wait_for("streaming", count=2)
        there = len(load.committed)
        wait_until(lambda: len(load.committed) > there + 100, "load after the restart")
    database.connection = psycopg.connect(database.url, autocommit=True)
    wait_until(settled(database, slot), "everything confirmed")
    verify(topic, load)
    assert engine.stop() == 0
    database.connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["frozen", "restarted"])
def test_a_broker_that_is_away_loses_nothing(database, topic, launch, slot, local_stack, how, wait_until) -> None:
    """What commits meanwhile waits in the database; the connection stays and all of it drains after (CD-114)."""
    # The server gives up after a second without an answer: it must get one all the while.
    database.run(f"ALTER DATABASE {database.name} SET wal_sender_timeout TO '1s'")
    engine = launch(CDC_MAX_IN_FLIGHT_RECORDS="50")
    engine.wait_for("streaming")

    def broker() -> Any:
        return local_stack.processes()["kafka"]

    with Load(database, 5).running() as load:
        wait_until(lambda: len(load.committed) > 50, "some load")
        if how == "frozen":
            psutil.Process(broker().pid).suspend()
        else:
            local_stack.supervisor.stop("kafka")
            wait_until(lambda: broker().state == "STOPPED", "the broker has stopped")
        there = len(load.committed)
        wait_until(lambda: len(load.committed) > there + 300, "load while the broker is away")
        confirmed = database.confirmed(slot)
        assert confirmed < database.wal_end()
        threading.Event().wait(2)
        if how == "frozen":
            psutil.Process(broker().pid).resume()
        else:
            local_stack.start("kafka")
        wait_until(lambda: database.confirmed(slot) > confirmed, "the engine goes on", 60)
    wait_until(settled(database, slot), "everything confirmed", 60)
    verify(topic, load)
    assert len(engine.events("streaming")) == 1
    assert engine.stop() == 0


def test_a_frozen_server_is_given_up(server, database, topic, launch, slot, wait_until) -> None:
    """A connection that is open but silent is replaced by the deadline, not waited on for ever."""
    engine = launch(CDC_SERVER_DEADLINE_SECONDS="1")
    engine.wait_for("streaming")
    ((walsender,),) = database.run("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", slot)
    process = psutil.Process(walsender)
    process.suspend()
    try:
        assert engine.wait_for("retrying", seconds=10)["kind"] == "connection_lost"
        database.insert("meanwhile")
    finally:
        process.resume()
    engine.wait_for("streaming", count=2)
    wait_until(topic.records, "a record")
    assert [record.key for record in topic.records()] == ["meanwhile"]


def test_sigterm_flushes_confirms_and_ends_with_0(database, topic, launch, slot, wait_until) -> None:
    """Nothing comes again after an orderly stop, because nothing was left unconfirmed."""
    engine = launch(CDC_CONFIRM_SECONDS="10")
    engine.wait_for("streaming")
    database.insert("a", "b")
    wait_until(lambda: len(topic.records()) == 2, "both records")
    assert engine.stop() == 0
    end = database.confirmed(slot)
    database.insert("c")
    engine = launch()
    engine.wait_for("streaming")
    wait_until(settled(database, slot), "everything confirmed")
    assert engine.stop() == 0
    assert engine.events("stopped")[0]["records"] == 1
    assert database.confirmed(slot) > end


def test_a_standby_takes_over(database, topic, launch, slot, wait_until) -> None:
    """A second engine waits for the slot, and has it within five seconds of the first one's death."""
    first = launch()
    first.wait_for("streaming")
    second = launch()
    assert second.wait_for("retrying")["kind"] == "slot_active"
    database.insert("a")
    wait_until(topic.records, "a record")
    first.kill()
    second.wait_for("streaming", seconds=5)
    database.insert("b")
    wait_until(lambda: len(topic.records()) == 2, "the next record")
    assert {record.key for record in topic.records()} == {"a", "b"}


def test_two_engines_at_the_birth_of_a_slot_take_one_snapshot(database, topic, launch, wait_until) -> None:
    """While the snapshot is read the slot is not active; the second engine is kept out all the same."""
    ids = [f"{number:05}" for number in range(5000)]
    database.insert(*ids)
    engines = [launch(), launch()]
    wait_until(lambda: any(engine.events("streaming") for engine in engines), "one streams")
    assert Counter(record.key for record in topic.records()) == Counter(ids)
    assert all(engine.process.poll() is None for engine in engines)


def test_an_idle_table_lets_go_of_the_wal_of_a_busy_one(database, topic, launch, slot, wait_until) -> None:
    """Nothing is captured, and the slot follows the end of the log (CD-11)."""
    launch().wait_for("streaming")
    for number in range(20):
        database.run("INSERT INTO business_events VALUES (%s, 'x', NULL, NULL, NULL, '{}')", str(number))
    end = database.wal_end()
    wait_until(lambda: database.confirmed(slot) >= end, "the slot is past the busy table's changes", 10)
    assert topic.records() == []
