"""The figures say what the loop did: over real rounds of it, with clocks that the test holds."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc.capture import Capture
from cdc.errors import CdcError, Kind
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import Begin, Commit, Event, Insert, Keepalive, Relation
from cdc.positions import Floors
from cdc.records import TopicName
from cdc.relay import Pace, Relay
from cdc.watch.endpoint import serving
from cdc.watch.health import Deadlines, Health
from cdc.watch.metrics import Monitor
from cdc.watch.observer import Phase

RAW = TopicName("raw")
COMMITTED_S = 500


def transaction(relation: Relation, lsn: int, *ids: str) -> list[Event]:
    """Return a transaction that inserts rows, committed at 500 s."""
    inserts: list[Event] = [Insert(relation.oid, (each, "x", None, None, None, "{}")) for each in ids]
    return [Begin(Lsn(lsn), COMMITTED_S * 1_000_000, 1), relation, *inserts, Commit(Lsn(lsn), Lsn(lsn + 8), 0)]


class Watched:
    """A monitor whose clocks stand at `now`, and relays that it watches."""

    def __init__(self, capture: Callable[[], Capture]) -> None:
        self.now = 500.0
        self._capture = capture
        self.monitor = Monitor(Health(Deadlines(), lambda: self.now), lambda: self.now)

    def relay(self, stream, sink, floor: Position | None = None, confirmed: int = 0) -> Relay:
        """Begin a session."""
        self.monitor.entered(Phase.STREAMING)
        floors = Floors({RAW: [floor]})
        pace = Pace(wait=0, report=1e9)
        return Relay(
            stream, sink, self._capture(), confirmed=Lsn(confirmed), floors=floors, pace=pace, observer=self.monitor
        )

    def figure(self, name: str, **labels: str) -> float:
        """Return one sample of the exposition, read as Prometheus reads it."""
        text = self.monitor.exposition().decode()
        (value,) = (
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"headwater_cdc_{name}" and sample.labels == labels
        )
        return value


@pytest.fixture
def watched(new_capture: Callable[[], Capture]) -> Watched:
    """A monitor over nothing yet."""
    return Watched(new_capture)


def test_records_count_when_kafka_has_them(watched: Watched, list_stream, list_sink, headers_relation) -> None:
    """Handed over is in flight, acknowledged is a record."""
    sink = list_sink(prompt=False)
    relay = watched.relay(list_stream([transaction(headers_relation, 8, "a", "b", "c")]), sink)
    relay.step()
    assert (watched.figure("records_total"), watched.figure("in_flight")) == (0, 3)
    sink.acknowledge(0, 1)
    relay.step()
    assert (watched.figure("records_total"), watched.figure("in_flight")) == (2, 1)
    assert watched.figure("confirmed_lsn") == 0
    sink.acknowledge(0)
    relay.step()
    assert (watched.figure("records_total"), watched.figure("in_flight")) == (3, 0)
    assert watched.figure("confirmed_lsn") == 16
    assert watched.figure("transactions_total") == 1
    assert watched.figure("commit_to_ack_seconds_count") == 1


def test_lag_is_that_of_the_oldest_commit_kafka_does_not_have(
    watched: Watched, list_stream, list_sink, headers_relation
) -> None:
    """In seconds by the commit time, in bytes by the server's own word; both are 0 in the end."""
    sink = list_sink(prompt=False)
    batch = [*transaction(headers_relation, 8, "a"), Keepalive(Lsn(1000), reply_requested=False)]
    relay = watched.relay(list_stream([batch]), sink)
    relay.step()
    watched.now = 507.5
    assert watched.figure("lag_seconds") == 7.5
    assert watched.figure("lag_bytes") == 1000
    sink.acknowledge(0)
    relay.step()
    assert (watched.figure("lag_seconds"), watched.figure("lag_bytes")) == (0, 0)
    assert watched.figure("commit_to_ack_seconds_count") == 1
    assert watched.figure("commit_to_ack_seconds_sum") == 7.5
    assert watched.figure("commit_to_ack_seconds_bucket", le="5.0") == 0
    assert watched.figure("commit_to_ack_seconds_bucket", le="10.0") == 1


def test_a_transaction_without_records_of_ours_is_not_timed(watched: Watched, list_stream, list_sink) -> None:
    """Busy tables beside ours would otherwise fill the histogram, and the memory while Kafka is away."""
    empty: list[Event] = [Begin(Lsn(8), 0, 1), Commit(Lsn(8), Lsn(16), 0)]
    watched.relay(list_stream([empty]), list_sink()).step()
    assert watched.figure("transactions_total") == 1
    assert watched.figure("commit_to_ack_seconds_count") == 0
    assert watched.figure("lag_seconds") == 0


def test_a_reconnection_counts_on_and_forgets_what_was_in_flight(
    watched: Watched, list_stream, list_sink, headers_relation
) -> None:
    """What was acknowledged before counts once; what comes again and is there already counts as skipped."""
    sink = list_sink(prompt=False)
    events = transaction(headers_relation, 8, "a", "b")
    relay = watched.relay(list_stream([events]), sink)
    relay.step()
    sink.acknowledge(0)
    relay.step()
    assert watched.figure("reconnects_total") == 0
    watched.monitor.entered(Phase.RETRYING)
    assert watched.figure("lag_seconds") == 0
    relay = watched.relay(list_stream([events]), list_sink(), floor=Position(Lsn(8), 4))
    relay.step()
    assert watched.figure("reconnects_total") == 1
    assert watched.figure("records_total") == 2
    assert watched.figure("skipped_total") == 1
    assert watched.figure("commit_to_ack_seconds_count") == 1
    assert watched.figure("in_flight") == 0


def test_a_stop_counts_the_last_acknowledgements(watched: Watched, list_stream, list_sink, headers_relation) -> None:
    """What arrives while draining is counted too."""
    sink = list_sink(prompt=False)
    relay = watched.relay(list_stream([transaction(headers_relation, 8, "a")]), sink)
    relay.step()
    sink.prompt = True
    relay.run(lambda: True)
    assert watched.figure("records_total") == 1


def test_snapshot_rows_count_over_attempts(watched: Watched) -> None:
    """Each attempt begins at 0, the figure does not."""
    watched.monitor.entered(Phase.SNAPSHOT)
    watched.monitor.copied(64, 64)
    watched.monitor.copied(100, 0)
    watched.monitor.entered(Phase.SNAPSHOT)
    watched.monitor.copied(5, 5)
    assert watched.figure("snapshot_rows_total") == 105


def get(port: int, path: str) -> tuple[int, str]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_endpoint_answers_by_the_health(watched: Watched) -> None:
    """503 with the reason when nothing moves, 200 when it does; other paths are named."""
    with serving(watched.monitor, "127.0.0.1", 0) as port:
        status, body = get(port, "/readyz")
        assert (status, json.loads(body)["reason"]) == (503, "not streaming: opening")
        assert get(port, "/livez")[0] == 200
        watched.monitor.entered(Phase.STREAMING)
        assert get(port, "/readyz")[0] == 200
        watched.now += 60
        assert (get(port, "/readyz")[0], get(port, "/livez")[0]) == (503, 200)
        watched.now += 61
        assert get(port, "/livez")[0] == 503
        assert "headwater_cdc_lag_bytes 0.0" in get(port, "/metrics?x=1")[1]
        assert get(port, "/")[0] == 404
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_port_in_use_is_named_with_its_setting(watched: Watched) -> None:
    """The engine stops with the setting to correct, instead of running unwatched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(CdcError, match=f"CDC_HTTP_PORT={port}") as raised,
            serving(watched.monitor, "127.0.0.1", port),
        ):
            pass
    assert raised.value.kind is Kind.SETTINGS
