"""Each metric that docs/metrics.md names as ours is written, in CloudWatch's embedded format."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.metrics.provider import cold_start

from functions.cluster_power import auto_start, auto_stop
from functions.cluster_power.metrics import NAMESPACE
from tests.unit.cluster_power.conftest import Aws, call

DOCUMENT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")


def _written(output: str) -> dict[str, float]:
    """Return the metrics in what a function has written, by name; each has the namespace and the function's name."""
    found: dict[str, float] = {}
    for line in output.splitlines():
        written: dict[str, Any] = json.loads(line)
        for directive in written.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == NAMESPACE
            assert "service" in directive["Dimensions"][0]
            for metric in directive["Metrics"]:
                value = written[metric["Name"]]
                found[f"{written['service']} {metric['Name']}"] = value[0] if isinstance(value, list) else value
    return found


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_start, "is_cold_start", True)


def test_a_start_of_the_cluster_is_counted(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    """With the cold start of the process (LC-170, LC-171)."""
    aws.stop()
    call(auto_start)
    assert _written(capsys.readouterr().out) == {
        "auto-start ColdStart": 1,
        "auto-start ClusterStarted": 1,
        "auto-start Failures": 0,
    }


def test_a_stop_of_the_cluster_is_counted(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    """And a call that changes nothing counts 0, without a cold start (LC-170, LC-171, LC-173)."""
    aws.up(hours=30)
    call(auto_stop)
    assert _written(capsys.readouterr().out) == {
        "auto-stop ColdStart": 1,
        "auto-stop ClusterStopped": 1,
        "auto-stop Failures": 0,
    }
    call(auto_stop)
    assert _written(capsys.readouterr().out) == {"auto-stop ClusterStopped": 0, "auto-stop Failures": 0}


@pytest.mark.parametrize(("function", "service"), [(auto_start, "auto-start"), (auto_stop, "auto-stop")])
def test_a_failure_is_counted(
    function: Any, service: str, aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lambda itself sees an orderly answer, and would count none (LC-173)."""
    monkeypatch.setenv("AURORA_CLUSTER_ID", "trucks")
    call(function)
    assert _written(capsys.readouterr().out)[f"{service} Failures"] == 1


def test_every_metric_of_ours_is_documented() -> None:
    """And every documented one is in a test above (LC-170 to LC-173)."""
    assert set(re.findall(r"`Headwater (\w+)`", DOCUMENT)) == {
        "ColdStart",
        "ClusterStarted",
        "ClusterStopped",
        "Failures",
    }


@pytest.mark.parametrize("row", ["LC-170", "LC-171", "LC-172", "LC-173"])
def test_every_row_of_the_metrics_has_its_line(row: str) -> None:
    """One line each says what shows it and where it comes from (LC-170, LC-171, LC-172, LC-173)."""
    assert len([line for line in DOCUMENT.splitlines() if line.startswith(f"| {row} ")]) == 1
