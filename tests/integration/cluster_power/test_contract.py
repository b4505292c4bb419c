"""The whole contract with real parts: a stopped database, an event, 503, a start, the event again."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import schemas
from tests.integration.cluster_power.conftest import CLUSTER, Cluster, reading
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def _stopped(cluster: Cluster) -> None:
    if cluster.status != "stopped":
        cluster.rds.stop_db_cluster(DBClusterIdentifier=CLUSTER)
    eventually(lambda: cluster.server == "STOPPED", "the server follows the cluster's stop")


def _started(cluster: Cluster) -> None:
    if cluster.status == "stopped":
        cluster.rds.start_db_cluster(DBClusterIdentifier=CLUSTER)
    service = cluster.stack.services()["postgres"]
    eventually(service.ready, "the server follows the cluster's start")


def test_an_event_starts_a_stopped_database_and_is_stored_when_it_is_sent_again(cluster: Cluster) -> None:
    """503 with 120 s, and nothing stored; the cluster starts; then 200 and the row (LC-20, LC-22, LC-51)."""
    _stopped(cluster)
    event = schemas.samples()["car-created"]
    refused = cluster.call("POST", "", event)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "120")
    assert refused.body == {
        "error": "Service Temporarily Unavailable",
        "message": "The database is currently starting. Please retry your request in 1-2 minutes.",
        "status": 503,
        "retry_after": 120,
    }
    assert cluster.status == "available"
    _started(cluster)
    stored = cluster.call("POST", "", event)
    assert stored.status == 200
    with psycopg.connect(cluster.stack.settings.database_url) as connection:
        rows = connection.execute("SELECT count(*) FROM event_headers WHERE id = %s", (stored.body["event_id"],))
        assert rows.fetchone() == (1,)


def test_health_requests_never_start_a_stopped_cluster(cluster: Cluster) -> None:
    """They say that the database is away, and that is all (LC-72)."""
    _stopped(cluster)
    calls = cluster.lambdas.logged("invocation")
    reply = cluster.call("GET", "/health")
    assert (reply.status, reply.body["status"]) == (503, "unhealthy")
    assert cluster.lambdas.logged("invocation") == calls
    assert cluster.status == "stopped"


def test_an_active_slot_keeps_the_cluster_and_its_end_lets_it_stop(cluster: Cluster) -> None:
    """By the real function, as its schedule would call it; then the server stops too (LC-62, LC-68)."""
    _started(cluster)
    cluster.cloudwatch.put_metric_data(
        Namespace="AWS/RDS",
        MetricData=[
            {
                "MetricName": "EngineUptime",
                "Dimensions": [{"Name": "DBClusterIdentifier", "Value": CLUSTER}],
                "Timestamp": datetime.now(UTC) - timedelta(seconds=2),
                "Value": 4 * 3600,
            }
        ],
    )
    with reading(cluster.stack.settings.database_url, "reader"):
        kept = cluster.lambdas.invoke({}, "auto-stop")["value"]
        assert (kept["statusCode"], cluster.status) == (200, "available")
        assert "active replication slots: reader" in kept["body"]
    assert "being stopped" in cluster.lambdas.invoke({}, "auto-stop")["value"]["body"]
    assert cluster.status == "stopped"
    eventually(lambda: cluster.server == "STOPPED", "the server follows the cluster's stop")


def test_each_function_ends_well_within_five_seconds(cluster: Cluster) -> None:
    """And in 128 MB, counting the start of the process, whatever they had to do above (LC-50, LC-173)."""
    for function in ("auto-start", "auto-stop"):
        cluster.lambdas.invoke({}, function)
    calls = cluster.lambdas.logged("invocation")
    assert {call["function"] for call in calls} == {"auto-start", "auto-stop"}
    assert [call["error"] for call in calls if call["error"]] == []
    assert max(call["milliseconds"] + (call["init_milliseconds"] or 0) for call in calls) < 5_000
    assert max(call["memory_mb"] for call in calls) < 128
