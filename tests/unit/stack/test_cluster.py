"""A local server follows an emulated cluster."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from stack.cluster import ClusterFollower

CLUSTER = "cars"
REGION = "us-east-1"


class Server:
    """What follows: it remembers what it was told, and does it at once."""

    def __init__(self, *, runs: bool | None) -> None:
        self.runs = runs
        self.told: list[str] = []

    def state(self) -> bool | None:
        """Return what the test has set, or the last order."""
        return self.runs

    def start(self) -> None:
        """Start."""
        self.told.append("start")
        self.runs = True

    def stop(self) -> None:
        """Stop."""
        self.told.append("stop")
        self.runs = False


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The API with an available cluster."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    with mock_aws():
        client = boto3.client("rds", REGION)
        client.create_db_cluster(
            DBClusterIdentifier=CLUSTER, Engine="aurora-postgresql", MasterUsername="u", MasterUserPassword="not-used-1"
        )
        yield client


def test_the_server_stops_and_starts_with_the_cluster(rds: Any) -> None:
    """Each once, however often it looks (LC-51, LC-62)."""
    server = Server(runs=True)
    follower = ClusterFollower(rds, CLUSTER, server)
    follower.step()
    rds.stop_db_cluster(DBClusterIdentifier=CLUSTER)
    follower.step()
    follower.step()
    assert server.told == ["stop"]
    rds.start_db_cluster(DBClusterIdentifier=CLUSTER)
    follower.step()
    follower.step()
    assert server.told == ["stop", "start"]


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("status", ["starting", "stopping", "maintenance", "creating"])
def test_a_transition_switches_nothing(rds: Any, status: str, runs: bool) -> None:
    """It will end in a state that does (LC-53)."""
    server = Server(runs=runs)
    with Stubber(rds) as stubber:
        stubber.add_response("describe_db_clusters", {"DBClusters": [{"Status": status}]})
        ClusterFollower(rds, CLUSTER, server).step()
    assert server.told == []


def test_a_server_in_a_change_is_not_disturbed(rds: Any) -> None:
    """The next look finds out what has become of it (LC-51)."""
    server = Server(runs=None)
    follower = ClusterFollower(rds, CLUSTER, server)
    follower.step()
    rds.stop_db_cluster(DBClusterIdentifier=CLUSTER)
    follower.step()
    assert server.told == []


def test_an_api_that_is_away_for_a_while_ends_nothing(rds: Any) -> None:
    """The failed look is made again (LC-54)."""
    ended = Event()

    class Last(Server):
        def stop(self) -> None:
            super().stop()
            ended.set()

    server = Last(runs=True)
    with Stubber(rds) as stubber:
        stubber.add_client_error("describe_db_clusters", "ServiceUnavailable")
        stubber.add_response("describe_db_clusters", {"DBClusters": [{"Status": "stopped"}]})
        ClusterFollower(rds, CLUSTER, server).follow(ended, seconds=0.001)
    assert server.told == ["stop"]


def test_the_uptime_is_published_as_aws_does(rds: Any) -> None:
    """A value after each start, not one for each look (LC-67)."""
    cloudwatch = boto3.client("cloudwatch", REGION)
    server = Server(runs=True)
    follower = ClusterFollower(rds, CLUSTER, server, cloudwatch)
    follower.step()
    follower.step()
    assert _values(cloudwatch) == 1
    rds.stop_db_cluster(DBClusterIdentifier=CLUSTER)
    follower.step()
    rds.start_db_cluster(DBClusterIdentifier=CLUSTER)
    follower.step()
    assert _values(cloudwatch) == 1, "the server is not up yet"
    follower.step()
    assert _values(cloudwatch) == 2


def _values(cloudwatch: Any) -> int:
    now = datetime.now(UTC)
    found = cloudwatch.get_metric_statistics(
        Namespace="AWS/RDS",
        MetricName="EngineUptime",
        Dimensions=[{"Name": "DBClusterIdentifier", "Value": CLUSTER}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=60,
        Statistics=["SampleCount"],
    )
    return int(sum(point["SampleCount"] for point in found["Datapoints"]))


def test_missing_variables_are_named() -> None:
    """And the helper ends (LC-50)."""
    done = subprocess.run(
        [sys.executable, "-m", "stack.cluster"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "set AURORA_CLUSTER_ID, AWS_ENDPOINT_URL_RDS, HEADWATER_STACK" in done.stderr
