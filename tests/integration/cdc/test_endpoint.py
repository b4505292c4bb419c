"""The engine's endpoint tells the truth: figures that agree with the topic, and red when replication stands still."""

import signal
import socket
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack.ports import free_ports

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # the endpoint is the same for every server


@dataclass
class Endpoint:
    """The endpoint of a launched engine."""

    url: str

    def get(self, path: str) -> httpx.Response:
        """Ask it."""
        return httpx.get(self.url + path, timeout=5)

    def ready(self) -> bool:
        """Whether it answers and says ready."""
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def figures(self) -> dict[str, float]:
        """Return every unlabelled sample."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {
            sample.name.removeprefix("headwater_cdc_"): sample.value
            for family in families
            for sample in family.samples
            if not sample.labels
        }


@pytest.fixture
def watched(launch) -> Any:
    """A starter of engines with an endpoint, ready within a second of standing still; gives both."""

    def start(**environment: str) -> tuple[Any, Endpoint]:
        (port,) = free_ports(1)
        given = {"CDC_HTTP_PORT": str(port), "CDC_READY_SECONDS": "1", "CDC_LIVE_SECONDS": "3", **environment}
        return launch(**given), Endpoint(f"http://127.0.0.1:{port}")

    return start


def test_figures_agree_with_the_topic(database, topic, watched, wait_until) -> None:
    """Snapshot rows and streamed records together are what the topic holds; nothing lags in the end."""
    database.insert("a", "b", "c")
    _, endpoint = watched()
    wait_until(endpoint.ready, "ready")
    for number in range(20):
        database.insert(f"s{number}", f"t{number}")
    database.run("DELETE FROM event_headers WHERE id = 'a'")
    wait_until(lambda: endpoint.figures()["records_total"] >= 42, "every record")
    wait_until(lambda: endpoint.figures()["lag_bytes"] == 0, "no lag")
    figures = endpoint.figures()
    stored = topic.records()
    assert figures["snapshot_rows_total"] == sum(record.operation == "r" for record in stored) == 3
    assert figures["records_total"] == len(stored) - 3
    assert figures["commit_to_ack_seconds_count"] == 21
    assert 0 < figures["commit_to_ack_seconds_sum"] < 21
    assert (figures["in_flight"], figures["lag_seconds"], figures["reconnects_total"]) == (0, 0, 0)


def test_an_idle_server_keeps_it_ready(database, watched, wait_until) -> None:
    """Nothing happens for three times the deadline; keepalives are movement enough."""
    _, endpoint = watched()
    wait_until(endpoint.ready, "ready")
    answers: list[int] = []

    def enough() -> bool:
        answers.append(endpoint.get("/readyz").status_code)
        return len(answers) >= 100

    wait_until(enough, "a hundred answers")
    assert set(answers) == {200}


def test_a_frozen_walsender_turns_it_red(database, topic, watched, slot, wait_until) -> None:
    """The connection stands and the process lives, and yet nothing moves: not ready, later not alive, then well."""
    engine, endpoint = watched(CDC_SERVER_DEADLINE_SECONDS="60")
    wait_until(endpoint.ready, "ready")
    ((walsender,),) = database.run("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", slot)
    process = psutil.Process(walsender)
    process.suspend()
    try:
        wait_until(lambda: not endpoint.ready(), "not ready", 5)
        answer = endpoint.get("/readyz")
        assert answer.status_code == 503
        assert "the server has said nothing" in answer.json()["reason"]
        wait_until(lambda: endpoint.get("/livez").status_code == 503, "not alive", 10)
        assert endpoint.figures()["ready"] == endpoint.figures()["live"] == 0
        assert engine.process.poll() is None
    finally:
        process.resume()
    database.insert("after")
    wait_until(endpoint.ready, "ready again")
    wait_until(topic.records, "a record")
    assert endpoint.get("/livez").status_code == 200


def test_a_stopped_server_turns_it_red(server, database, watched, wait_until) -> None:
    """The engine tries again and is alive, but not ready; the reconnection is counted."""
    _, endpoint = watched()
    wait_until(endpoint.ready, "ready")
    server.stop(signal.SIGQUIT)
    try:
        wait_until(lambda: not endpoint.ready(), "not ready", 5)
        assert endpoint.get("/livez").status_code == 200
    finally:
        server.start()
    wait_until(endpoint.ready, "ready again")
    assert endpoint.figures()["reconnects_total"] == 1


def test_a_standby_is_alive_and_not_ready(database, watched, wait_until) -> None:
    """It waits for the slot and becomes ready when it has it."""
    first, endpoint = watched()
    wait_until(endpoint.ready, "ready")
    second, standby = watched()
    second.wait_for("retrying")
    assert not standby.ready()
    assert standby.get("/livez").status_code == 200
    first.kill()
    wait_until(standby.ready, "the standby is ready")


def test_a_port_in_use_stops_the_engine(launch) -> None:
    """The setting is named; nobody runs an engine that he believes is watched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        engine = launch(CDC_HTTP_PORT=port)
        assert engine.exit_code() == 1
    assert port in engine.events("stopped_by_error")[0]["detail"]
