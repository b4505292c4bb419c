"""Kafka away or the network dead: memory stays bounded, nothing is lost, and the backlog drains (CD-114)."""

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack.ports import free_ports

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # Kafka is what is under pressure

MEGABYTE = 1024 * 1024


class Proxy:
    """A way to a server that can go dead: what is on it stays open and silent for ever, as behind a broken router."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def freeze(self) -> None:
        """Forward nothing more on the connections there are."""
        self._open.clear()

    def replace(self) -> None:
        """Let new connections through; the frozen ones stay frozen."""
        self._open = threading.Event()
        self._open.set()

    def close(self) -> None:
        """End everything."""
        # A thread that waits in accept notices the end by this alone.
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                for source, target in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=self._pump, args=(source, target, self._open)))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket, is_open: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not is_open.is_set():
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(database) -> Iterator[Proxy]:
    """A proxy before the test's server."""
    made = Proxy(int(database.url.rsplit(":", 1)[1].split("/")[0]))
    yield made
    made.close()


def figures(port: str) -> dict[str, float]:
    """Return the engine's figures; those with labels are left out."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    return {
        sample.name.removeprefix("headwater_cdc_"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


@pytest.mark.slow
@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_memory_stays_flat_while_the_broker_is_away(
    database, topic, launch, slot, local_stack, wait_until, how: str
) -> None:
    """60 MB pile up in the database's log, not in the engine; afterwards every row is there once."""
    port = str(free_ports(1)[0])
    engine = launch(CDC_HTTP_PORT=port, CDC_MAX_IN_FLIGHT_BYTES=str(4 * MEGABYTE))
    engine.wait_for("streaming")
    # Warm: what the client needs for itself is not what is measured.
    filler = json.dumps(os.urandom(10_000).hex())
    database.insert(*(f"warm{number}" for number in range(300)), data=filler)
    wait_until(lambda: len(topic.records()) == 300, "the first records")
    process = psutil.Process(engine.process.pid)
    resident = process.memory_info().rss
    broker = psutil.Process(local_stack.processes()["kafka"].pid)
    if how == "frozen":
        broker.suspend()
    else:
        local_stack.supervisor.stop("kafka")
    most = 0.0
    try:
        for batch in range(30):
            database.insert(*(f"{batch}-{number}" for number in range(100)), data=filler)
            most = max(most, figures(port)["in_flight"])
        assert database.wal_end() - database.confirmed(slot) > 60 * MEGABYTE
        grown = process.memory_info().rss - resident
    finally:
        if how == "frozen":
            broker.resume()
        else:
            local_stack.start("kafka")
    assert 0 < most * 20_000 < 8 * MEGABYTE, most
    assert grown < 40 * MEGABYTE, grown
    end = database.wal_end()
    wait_until(lambda: database.confirmed(slot) >= end, "everything confirmed", 60)
    assert Counter(record.key for record in topic.records()).most_common(1)[0][1] == 1
    assert len(topic.records()) == 3300
    assert process.memory_info().rss - resident < 40 * MEGABYTE
    assert engine.stop() == 0


def test_a_dead_network_is_noticed_by_the_deadline(database, topic, launch, proxy, slot, wait_until) -> None:
    """The connection is open and silent for ever: given up within the deadline, and made anew (keepalives)."""
    # The server's side of it is as dead: it holds the slot until its own deadline.
    database.run(f"ALTER DATABASE {database.name} SET wal_sender_timeout TO '2s'")
    url = database.url.replace(database.url.rsplit(":", 1)[1], f"{proxy.port}/{database.name}")
    engine = launch(DATABASE_URL=url, CDC_SERVER_DEADLINE_SECONDS="2")
    engine.wait_for("streaming")
    database.insert("before")
    wait_until(lambda: topic.of("before"), "a record")
    proxy.freeze()
    database.insert("meanwhile")
    assert engine.wait_for("retrying", seconds=15)["kind"] == "connection_lost"
    proxy.replace()
    engine.wait_for("streaming", seconds=40, count=2)
    database.insert("after")
    wait_until(lambda: topic.of("after"), "the next record")
    assert sorted(record.key for record in topic.records()) == ["after", "before", "meanwhile"]
    assert engine.stop() == 0
