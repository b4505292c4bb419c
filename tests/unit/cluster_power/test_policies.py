"""The rights of the functions are the smallest that do."""

import json
from importlib.resources import files
from string import Template
from typing import Any

CLUSTER = "arn:aws:rds:eu-central-1:123456789012:cluster:cars"
LOGS = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/power"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:stops"

_LOG_ACTIONS = {("logs:CreateLogStream", f"{LOGS}:*"), ("logs:PutLogEvents", f"{LOGS}:*")}


def _allowed(name: str) -> set[tuple[str, str]]:
    """Return the pairs of action and resource that a policy allows."""
    text = (files("functions.cluster_power") / "policies" / f"{name}.json").read_text("utf-8")
    filled = Template(text).substitute(cluster_arn=CLUSTER, log_group_arn=LOGS, sns_topic_arn=TOPIC)
    policy: dict[str, Any] = json.loads(filled)
    assert policy["Version"] == "2012-10-17"
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])
    return {(action, statement["Resource"]) for statement in policy["Statement"] for action in statement["Action"]}


def test_auto_start_may_describe_and_start_its_cluster() -> None:
    """And write its log, and nothing else (LC-56)."""
    assert _allowed("auto_start") == {("rds:DescribeDBClusters", CLUSTER), ("rds:StartDBCluster", CLUSTER)} | (
        _LOG_ACTIONS
    )


def test_auto_stop_may_describe_stop_and_start_its_cluster() -> None:
    """And read metrics, for which AWS knows no single resource, and write its log (LC-70)."""
    assert _allowed("auto_stop") == _LOG_ACTIONS | {
        ("rds:DescribeDBClusters", CLUSTER),
        ("rds:StopDBCluster", CLUSTER),
        ("rds:StartDBCluster", CLUSTER),
        ("cloudwatch:GetMetricStatistics", "*"),
    }


def test_a_notice_needs_a_right_of_its_own() -> None:
    """To publish to that topic, only where one is set (LC-70)."""
    assert _allowed("auto_stop_notice") == {("sns:Publish", TOPIC)}
