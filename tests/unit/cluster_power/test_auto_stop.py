"""Auto-stop: only a cluster that is known to be unused is stopped."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from functions.cluster_power import auto_stop
from functions.cluster_power.activity import Activity
from functions.cluster_power.auto_stop import AutoStop
from functions.cluster_power.cluster import Cluster
from functions.cluster_power.settings import StopSettings
from tests.unit.cluster_power.conftest import API, CLUSTER, REGION, Aws, call


def _parts(client: Any, aws: Aws, activity: Activity | None = None) -> AutoStop:
    settings = StopSettings(aurora_cluster_id=CLUSTER, api_gateway_id=API)
    return AutoStop(settings, Cluster(client, CLUSTER), activity or Activity(aws.cloudwatch), None, None)


def _unused(aws: Aws) -> None:
    aws.up(hours=30)


def test_a_cluster_without_requests_is_stopped(aws: Aws) -> None:
    """None in three hours, which is the default (LC-60, LC-62)."""
    _unused(aws)
    said = call(auto_stop)
    assert aws.status == "stopped"
    assert (said.status, said.body["status"], said.body["reason"]) == (200, "stopping", "no request in 3 h")


def test_requests_of_every_hour_of_the_window_are_summed(aws: Aws) -> None:
    """By the hour, of this API alone (LC-61)."""
    now = datetime.now(UTC)
    for minutes in (5, 65, 130):
        aws.requests(2, now - timedelta(minutes=minutes))
    aws.requests(100, now - timedelta(minutes=5), api="another")
    aws.requests(100, now - timedelta(hours=5))
    assert Activity(aws.cloudwatch).requests(API, timedelta(hours=3)) == 6


def test_the_metric_is_asked_as_it_is_published() -> None:
    """Name, dimension, period and statistic, over the last N hours (LC-61)."""
    asked: dict[str, Any] = {}

    class Watch:
        def get_metric_statistics(self, **named: Any) -> Any:
            asked.update(named)
            return {"Datapoints": []}

    assert Activity(Watch()).requests(API, timedelta(hours=3)) == 0
    assert asked.pop("EndTime") - asked.pop("StartTime") == timedelta(hours=3)
    assert asked == {
        "Namespace": "AWS/ApiGateway",
        "MetricName": "Count",
        "Dimensions": [{"Name": "ApiId", "Value": API}],
        "Period": 3600,
        "Statistics": ["Sum"],
    }


def test_one_request_in_the_window_keeps_the_cluster(aws: Aws) -> None:
    """Whatever the request was, a health request too (LC-62, LC-72)."""
    _unused(aws)
    aws.requests(1, datetime.now(UTC) - timedelta(hours=2))
    said = call(auto_stop)
    assert aws.status == "available"
    assert (said.status, said.body["status"], said.body["reason"]) == (200, "available", "requests in 3 h: 1")


def test_the_window_is_a_setting(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request before it does not count (LC-60)."""
    monkeypatch.setenv("INACTIVITY_HOURS", "1")
    aws.up(hours=1.5)
    aws.requests(1, datetime.now(UTC) - timedelta(hours=2))
    assert call(auto_stop).body["reason"] == "no request in 1 h"
    assert aws.status == "stopped"


def test_unreadable_requests_keep_the_cluster(aws: Aws) -> None:
    """The answer is 200 with the reason (LC-63)."""
    cloudwatch = boto3.client("cloudwatch", REGION)
    stubber = Stubber(cloudwatch)
    stubber.add_client_error("get_metric_statistics", "AccessDenied", "not authorized")
    with stubber:
        outcome = _parts(aws.rds, aws, Activity(cloudwatch)).run()
    assert (outcome.status_code, outcome.switched, aws.status) == (200, False, "available")
    assert outcome.members["reason"] == "the metric AWS/ApiGateway Count cannot be read: AccessDenied: not authorized"


def test_without_an_api_to_watch_the_cluster_is_kept(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its use cannot be seen (LC-64)."""
    _unused(aws)
    monkeypatch.delenv("API_GATEWAY_ID")
    said = call(auto_stop)
    assert (said.status, aws.status) == (200, "available")
    assert "API_GATEWAY_ID is not set" in said.body["reason"]


@pytest.mark.parametrize("status", ["stopped", "stopping", "starting", "maintenance", "backing-up", "upgrading"])
def test_a_cluster_that_is_not_available_is_left_alone(aws: Aws, status: str) -> None:
    """Only described (LC-65)."""
    client = boto3.client("rds", REGION)
    stubber = Stubber(client)
    stubber.add_response("describe_db_clusters", {"DBClusters": [{"Status": status}]}, {"DBClusterIdentifier": CLUSTER})
    with stubber:
        outcome = _parts(client, aws).run()
    assert (outcome.status_code, outcome.members["status"], outcome.switched) == (200, status, False)
    stubber.assert_no_pending_responses()


def test_an_unreadable_state_is_an_error(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is stopped (LC-66)."""
    monkeypatch.setenv("AURORA_CLUSTER_ID", "trucks")
    said = call(auto_stop)
    assert said.status == 500
    assert "rds:DescribeDBClusters failed: DBClusterNotFoundFault" in said.body["error"]
    assert aws.status == "available"


def test_a_refused_stop_is_an_error(aws: Aws) -> None:
    """The cluster runs on (LC-66)."""
    _unused(aws)
    client = boto3.client("rds", REGION)
    stubber = Stubber(client)
    stubber.add_response("describe_db_clusters", {"DBClusters": [{"Status": "available"}]})
    stubber.add_client_error("stop_db_cluster", "InvalidDBClusterStateFault", "has a cross-region replica")
    with stubber:
        outcome = _parts(client, aws).run()
    assert (outcome.status_code, outcome.switched, aws.status) == (500, False, "available")
    assert outcome.members["error"] == (
        "rds:StopDBCluster failed: InvalidDBClusterStateFault: has a cross-region replica"
    )


def test_a_cluster_started_in_the_window_is_kept(aws: Aws) -> None:
    """Whoever has started it shall have the time to use it (LC-67)."""
    aws.up(hours=2.9)
    said = call(auto_stop)
    assert (said.status, said.body["reason"], aws.status) == (200, "started less than 3 h ago", "available")


def test_the_newest_uptime_counts(aws: Aws) -> None:
    """The older value is of the life before a restart (LC-67)."""
    now = datetime.now(UTC)
    aws.up(hours=30, at=now - timedelta(minutes=8))
    aws.up(hours=0.01, at=now - timedelta(minutes=1))
    assert call(auto_stop).body["reason"] == "started less than 3 h ago"


def test_an_unknown_uptime_keeps_the_cluster(aws: Aws) -> None:
    """The metric comes late or not at all: an old value says nothing (LC-67)."""
    aws.up(hours=30, at=datetime.now(UTC) - timedelta(hours=1))
    said = call(auto_stop)
    assert (said.status, aws.status) == (200, "available")
    assert "EngineUptime has no recent value" in said.body["reason"]


def test_an_unreadable_uptime_keeps_the_cluster(aws: Aws) -> None:
    """As for the requests (LC-63, LC-67)."""
    cloudwatch = boto3.client("cloudwatch", REGION)
    stubber = Stubber(cloudwatch)
    stubber.add_response("get_metric_statistics", {"Datapoints": []})
    stubber.add_client_error("get_metric_statistics", "Throttling", "Rate exceeded")
    with stubber:
        outcome = _parts(aws.rds, aws, Activity(cloudwatch)).run()
    assert (outcome.status_code, aws.status) == (200, "available")
    assert outcome.members["reason"] == "the metric AWS/RDS EngineUptime cannot be read: Throttling: Rate exceeded"


def test_a_cluster_that_aws_has_started_again_is_stopped_again(aws: Aws) -> None:
    """After seven days, by the same hourly call in a warm process: nothing is remembered of the first stop (LC-71)."""
    aws.up(hours=30, at=datetime.now(UTC) - timedelta(minutes=5))
    assert call(auto_stop).body["status"] == "stopping"
    assert call(auto_stop).body["status"] == "stopped"
    aws.rds.start_db_cluster(DBClusterIdentifier=CLUSTER)
    aws.up(hours=0.02)
    assert call(auto_stop).body["reason"] == "started less than 3 h ago"
    aws.up(hours=4)
    assert call(auto_stop).body["status"] == "stopping"
    assert aws.status == "stopped"
