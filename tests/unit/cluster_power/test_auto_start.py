"""Auto-start: each state of a cluster and each failure of the API has its answer."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from pydantic import ValidationError

from functions.cluster_power import auto_start
from functions.cluster_power.auto_start import AutoStart
from functions.cluster_power.cluster import Cluster
from tests.unit.cluster_power.conftest import CLUSTER, REGION, Aws, call


def _stubbed() -> tuple[Any, Stubber]:
    client = boto3.client("rds", REGION)
    return client, Stubber(client)


def _describes(stubber: Stubber, status: str) -> None:
    stubber.add_response("describe_db_clusters", {"DBClusters": [{"Status": status}]}, {"DBClusterIdentifier": CLUSTER})


def test_a_stopped_cluster_is_started(aws: Aws) -> None:
    """And the answer says so, with a note on how to wait (LC-51)."""
    aws.stop()
    said = call(auto_start)
    assert aws.status == "available"
    assert (said.status, said.body["status"], said.body["cluster_id"]) == (200, "starting", CLUSTER)
    assert set(said.body) == {"message", "status", "cluster_id", "note"}


def test_an_available_cluster_is_left_alone(aws: Aws) -> None:
    """The answer is its state (LC-52)."""
    said = call(auto_start)
    assert (said.status, said.body["status"]) == (200, "available")
    assert set(said.body) == {"message", "status", "cluster_id"}


@pytest.mark.parametrize("status", ["starting", "stopping", "maintenance", "backing-up", "failing-over", "deleting"])
def test_a_cluster_in_any_other_state_is_left_alone(aws: Aws, status: str) -> None:
    """Only described, and its state answered (LC-52, LC-53)."""
    client, stubber = _stubbed()
    _describes(stubber, status)
    with stubber:
        outcome = AutoStart(Cluster(client, CLUSTER)).run()
    assert (outcome.status_code, outcome.members["status"], outcome.switched) == (200, status, False)
    assert status in outcome.members["message"]
    stubber.assert_no_pending_responses()


def test_a_cluster_that_has_left_its_state_is_transitioning(aws: Aws) -> None:
    """AWS refuses the start of a cluster that is not stopped any more; that is no failure (LC-53)."""
    client, stubber = _stubbed()
    _describes(stubber, "stopped")
    stubber.add_client_error("start_db_cluster", "InvalidDBClusterStateFault", "is in stopping state")
    with stubber:
        outcome = AutoStart(Cluster(client, CLUSTER)).run()
    assert (outcome.status_code, outcome.members["status"], outcome.switched) == (200, "transitioning", False)


def test_an_unknown_cluster_is_an_error(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer names the call and the cluster (LC-54)."""
    monkeypatch.setenv("AURORA_CLUSTER_ID", "trucks")
    said = call(auto_start)
    assert (said.status, said.body["cluster_id"]) == (500, "trucks")
    assert said.body["error"].startswith("rds:DescribeDBClusters failed: DBClusterNotFoundFault")
    assert set(said.body) == {"error", "cluster_id"}


def test_a_refused_start_is_an_error(aws: Aws) -> None:
    """Such as a missing right (LC-54)."""
    client, stubber = _stubbed()
    _describes(stubber, "stopped")
    stubber.add_client_error("start_db_cluster", "AccessDenied", "not authorized to perform rds:StartDBCluster")
    with stubber:
        outcome = AutoStart(Cluster(client, CLUSTER)).run()
    assert outcome.failed
    assert outcome.members == {
        "error": "rds:StartDBCluster failed: AccessDenied: not authorized to perform rds:StartDBCluster",
        "cluster_id": CLUSTER,
    }


def test_an_api_that_does_not_answer_is_an_error(aws: Aws) -> None:
    """No answer is a failure like a refusal (LC-54)."""

    class Away:
        def describe_db_clusters(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://rds")

    outcome = AutoStart(Cluster(Away(), CLUSTER)).run()
    assert (outcome.status_code, outcome.members["cluster_id"]) == (500, CLUSTER)
    assert "EndpointConnectionError" in outcome.members["error"]


def test_two_calls_at_once_start_the_cluster_once(aws: Aws) -> None:
    """Both see it stopped before either starts it; AWS takes one start (LC-55)."""
    aws.stop()
    both_have_seen = threading.Barrier(2)

    class Together:
        def describe_db_clusters(self, **named: Any) -> Any:
            found = aws.rds.describe_db_clusters(**named)
            both_have_seen.wait(10)
            return found

        def start_db_cluster(self, **named: Any) -> Any:
            return aws.rds.start_db_cluster(**named)

    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(AutoStart(Cluster(Together(), CLUSTER)).run) for _ in range(2)]
        outcomes = [each.result(20) for each in calls]
    assert sorted(outcome.members["status"] for outcome in outcomes) == ["starting", "transitioning"]
    assert [outcome.switched for outcome in outcomes].count(True) == 1
    assert aws.status == "available"


def test_a_start_without_a_cluster_id_is_refused(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable (LC-50)."""
    monkeypatch.delenv("AURORA_CLUSTER_ID")
    with pytest.raises(ValidationError, match="aurora_cluster_id"):
        auto_start.service()


def test_the_region_is_the_functions_own(aws: Aws) -> None:
    """`AWS_REGION`, which Lambda sets (LC-50)."""
    assert auto_start.service().cluster._client.meta.region_name == REGION


def test_importing_the_handler_loads_neither_sdk_nor_database() -> None:
    """Each would cost a part of every cold start (LC-50, LC-173)."""
    program = (
        "import sys, functions.cluster_power.auto_start; print([m for m in ('boto3', 'psycopg') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
