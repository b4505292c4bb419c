"""An emulated cluster, and each function as Lambda makes it: from its environment."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.cluster_power import auto_start, auto_stop

CLUSTER = "cars"
API = "api-1"
REGION = "eu-central-1"


@dataclass(frozen=True)
class Context:
    """What of a Lambda context is read."""

    function_name: str = "function"


@dataclass(frozen=True)
class Said:
    """An answer, its body parsed."""

    status: int
    body: dict[str, Any]


class Aws:
    """The emulated API, and the state that a test gives it."""

    def __init__(self) -> None:
        self.rds: Any = boto3.client("rds", REGION)
        self.cloudwatch: Any = boto3.client("cloudwatch", REGION)
        self.rds.create_db_cluster(
            DBClusterIdentifier=CLUSTER, Engine="aurora-postgresql", MasterUsername="u", MasterUserPassword="not-used-1"
        )

    @property
    def status(self) -> str:
        """Return the cluster's state."""
        found: str = self.rds.describe_db_clusters(DBClusterIdentifier=CLUSTER)["DBClusters"][0]["Status"]
        return found

    def stop(self) -> None:
        """Stop the cluster, as an operator would."""
        self.rds.stop_db_cluster(DBClusterIdentifier=CLUSTER)

    def requests(self, number: int, at: datetime | None = None, api: str = API) -> None:
        """Have the API count requests."""
        self._put("AWS/ApiGateway", "Count", "ApiId", api, number, at)

    def up(self, hours: float, at: datetime | None = None) -> None:
        """Have the cluster run for so long."""
        self._put("AWS/RDS", "EngineUptime", "DBClusterIdentifier", CLUSTER, hours * 3600, at)

    def _put(  # what a metric is made of
        self, namespace: str, name: str, dimension: str, of: str, value: float, at: datetime | None
    ) -> None:
        self.cloudwatch.put_metric_data(
            Namespace=namespace,
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": dimension, "Value": of}],
                    # A question's end has whole seconds, and is not part of it.
                    "Timestamp": at or datetime.now(UTC) - timedelta(seconds=5),
                    "Value": value,
                }
            ],
        )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Emulate AWS with one available cluster; the functions' environment names it and the API."""
    for name in (
        "DATABASE_URL",
        "AURORA_ENDPOINT",
        "SNS_TOPIC_ARN",
        "INACTIVITY_HOURS",
        "ALLOW_STOP_WITH_ACTIVE_SLOTS",
    ):
        monkeypatch.delenv(name, raising=False)
    variables = {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AURORA_CLUSTER_ID": CLUSTER,
        "API_GATEWAY_ID": API,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _forget()
    with mock_aws():
        yield Aws()
    _forget()


def _forget() -> None:
    auto_start.service.cache_clear()
    auto_stop.service.cache_clear()


def call(function: Any) -> Said:
    """Call a function's handler as its schedule or its caller would."""
    output = function.handler({}, Context())
    assert set(output) == {"statusCode", "body"}
    return Said(output["statusCode"], json.loads(output["body"]))
