"""What CloudWatch knows of the cluster's use.

Owns the two metrics that are read: the requests at the API (LC-61), and how long the cluster has been up (LC-67). The
RDS API does not say when a cluster was started, and its events are no record to rely on; the metric
`EngineUptime` is AWS's own answer (https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Reboot.Uptime.html).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from functions.cluster_power.aws import told

_HOUR: Final = 3600
_MINUTE: Final = 60
# A value is there each minute, some minutes late. An older one may be of a life before a stop.
_UPTIME_WINDOW: Final = timedelta(minutes=10)


class ActivityError(Exception):
    """CloudWatch cannot be read; the text says which metric and why."""


class Activity:
    """Read the metrics of one API and one cluster.

    Args:
        client: Of CloudWatch.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def requests(self, api_id: str, window: timedelta) -> int:
        """Return how many requests the API has had in the last hours; no value at all means none.

        Raises:
            ActivityError: The metric cannot be read.
        """
        dimensions = {"ApiId": api_id}
        points = self._points("AWS/ApiGateway", "Count", dimensions, window, _HOUR, "Sum")
        return int(sum(point["Sum"] for point in points))

    def uptime(self, cluster_id: str) -> timedelta | None:
        """Return how long the longest running instance has been up; None when there is no recent value.

        Raises:
            ActivityError: The metric cannot be read.
        """
        dimensions = {"DBClusterIdentifier": cluster_id}
        points = self._points("AWS/RDS", "EngineUptime", dimensions, _UPTIME_WINDOW, _MINUTE, "Maximum")
        if not points:
            return None
        newest = max(points, key=lambda point: point["Timestamp"])
        return timedelta(seconds=newest["Maximum"])

    def _points(
        self, namespace: str, metric: str, dimensions: dict[str, str], window: timedelta, period: int, statistic: str
    ) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        try:
            found = self._client.get_metric_statistics(
                Namespace=namespace,
                MetricName=metric,
                Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
                StartTime=now - window,
                EndTime=now,
                Period=period,
                Statistics=[statistic],
            )
        except Exception as error:
            raise ActivityError(f"the metric {namespace} {metric} cannot be read: {told(error)[1]}") from error
        points: list[dict[str, Any]] = found["Datapoints"]
        return points
