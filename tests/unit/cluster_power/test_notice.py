"""The e-mail after a stop."""

import json
from typing import Any

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sns import sns_backends

from functions.cluster_power import auto_stop
from tests.unit.cluster_power.conftest import CLUSTER, REGION, Aws, call


@pytest.fixture
def topic(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic that auto-stop is told of, and a cluster that it will stop."""
    arn: str = boto3.client("sns", REGION).create_topic(Name="stops")["TopicArn"]
    monkeypatch.setenv("SNS_TOPIC_ARN", arn)
    aws.up(hours=30)
    return arn


def _sent(topic: str) -> list[Any]:
    return list(sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics[topic].sent_notifications)


def test_a_stop_is_told(aws: Aws, topic: str) -> None:
    """Once, with cluster, time, reason and region (LC-69)."""
    call(auto_stop)
    [(_id, text, subject, *_rest)] = _sent(topic)
    assert subject == f"Aurora cluster stopped: {CLUSTER}"
    told = dict(line.split(": ", 1) for line in text.splitlines())
    assert set(told) == {"Cluster", "Time", "Reason", "Region"}
    assert (told["Cluster"], told["Reason"], told["Region"]) == (CLUSTER, "no request in 3 h", REGION)


def test_a_cluster_that_is_kept_is_not_told(aws: Aws, topic: str) -> None:
    """Nothing has happened (LC-69)."""
    aws.requests(1)
    call(auto_stop)
    assert _sent(topic) == []


def test_a_notice_that_cannot_be_sent_is_logged(
    aws: Aws, topic: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stop is answered as if it had been sent (LC-69)."""
    monkeypatch.setenv("SNS_TOPIC_ARN", f"{topic}-gone")
    said = call(auto_stop)
    assert (said.status, said.body["status"], aws.status) == (200, "stopping", "stopped")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [warning] = [line for line in lines if line.get("event") == "notice_not_sent"]
    assert warning["error"].startswith("NotFound")
