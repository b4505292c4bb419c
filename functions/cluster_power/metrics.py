"""Metrics that CloudWatch does not make by itself, in its embedded format on standard output (LC-171, LC-173).

Owns the names. A value of 0 is written too, so that an alarm can tell a quiet run from none.
"""

from typing import Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from functions.cluster_power.answers import Outcome

NAMESPACE: Final = "Headwater"
STARTED: Final = "ClusterStarted"
STOPPED: Final = "ClusterStopped"
FAILED: Final = "Failures"
"""Answers of status 500, which Lambda itself does not count as errors."""


def metrics(function: str) -> Metrics:
    """Return the metrics of one function, which is the dimension `service`."""
    return Metrics(namespace=NAMESPACE, service=function)


def count(to: Metrics, switch: str, outcome: Outcome) -> None:
    """Add the counts of one call, 1 or 0, to what the invocation writes at its end."""
    to.add_metric(name=switch, unit=MetricUnit.Count, value=int(outcome.switched))
    to.add_metric(name=FAILED, unit=MetricUnit.Count, value=int(outcome.failed))
