"""Owns a local server that follows an emulated Aurora cluster: `python -m stack.cluster`, a helper of the stack.

An emulator of the RDS API only keeps the cluster's state. The helper makes that state true: it stops the local service
while the cluster is stopped, starts it when the cluster is available, and publishes `EngineUptime` as AWS does. Must
never change the cluster. The environment names it: AURORA_CLUSTER_ID, AWS_REGION, AWS_ENDPOINT_URL_RDS,
AWS_ENDPOINT_URL_CLOUDWATCH (metrics only where it is set) and, from the supervisor, the stack's folder.
"""

import os
import signal
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any, Final, Protocol

import boto3
import structlog
from botocore.config import Config

from stack.state import State
from stack.supervision import MARK, Supervisor

_log = structlog.get_logger()

_SERVICE: Final = "postgres"
_POLL_SECONDS: Final = 0.5
_METRIC_SECONDS: Final = 60
_UP: Final = ("STARTING", "RUNNING", "BACKOFF")
_DOWN: Final = ("STOPPED", "EXITED", "FATAL")


class Followed(Protocol):
    """The local service that plays the cluster's instance."""

    def state(self) -> bool | None:
        """Tell whether it runs; None while it changes, or when nobody knows."""
        ...

    def start(self) -> None:
        """Begin to start it."""
        ...

    def stop(self) -> None:
        """Begin to stop it."""
        ...


class SupervisedService:
    """One service of a stack, switched through its supervisor."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self._supervisor = supervisor
        self._name = name

    def state(self) -> bool | None:
        """Tell whether the supervisor runs it; None while it stops, or without a supervisor."""
        process = self._supervisor.processes().get(self._name)
        if process is None or process.state not in (*_UP, *_DOWN):
            return None
        return process.state in _UP

    def start(self) -> None:
        """Start it without waiting."""
        self._supervisor.start(self._name)

    def stop(self) -> None:
        """Stop it without waiting."""
        self._supervisor.stop(self._name)


class ClusterFollower:
    """Make a local service follow the state of a cluster.

    Args:
        rds: The API that knows the cluster.
        cluster_id: Which one.
        service: What follows it.
        cloudwatch: Where the uptime is published; None publishes nothing.
    """

    def __init__(self, rds: Any, cluster_id: str, service: Followed, cloudwatch: Any = None) -> None:
        self._rds = rds
        self._cluster_id = cluster_id
        self._service = service
        self._cloudwatch = cloudwatch
        self._up_since: float | None = None
        self._published = 0.0

    def follow(self, ended: Event, seconds: float = _POLL_SECONDS) -> None:
        """Look at the cluster every so many seconds until told to end; a failed look is logged and made again."""
        while not ended.is_set():
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - the emulator or the supervisor may be away for a while
                _log.warning("cluster_not_followed", cluster_id=self._cluster_id, error=f"{error}")
            ended.wait(seconds)

    def step(self) -> None:
        """Look once, and switch the service where it differs; a cluster in a transition switches nothing."""
        found = self._rds.describe_db_clusters(DBClusterIdentifier=self._cluster_id)["DBClusters"]
        status = found[0]["Status"]
        runs = self._service.state()
        if status == "stopped" and runs:
            _log.info("cluster_stopped", cluster_id=self._cluster_id)
            self._service.stop()
        elif status == "available" and runs is False:
            _log.info("cluster_available", cluster_id=self._cluster_id)
            self._service.start()
        if status != "available":
            self._up_since = None
        elif runs:
            self._publish()

    def _publish(self) -> None:
        """Publish how long the service has been up, once a minute and at once after a start."""
        now = time.monotonic()
        if self._up_since is None:
            self._up_since, self._published = now, 0.0
        if self._cloudwatch is None or (self._published and now - self._published < _METRIC_SECONDS):
            return
        self._published = now
        self._cloudwatch.put_metric_data(
            Namespace="AWS/RDS",
            MetricData=[
                {
                    "MetricName": "EngineUptime",
                    "Dimensions": [{"Name": "DBClusterIdentifier", "Value": self._cluster_id}],
                    "Unit": "Seconds",
                    "Value": now - self._up_since,
                }
            ],
        )


def main() -> int:
    """Follow until SIGTERM or Ctrl-C; return 0, or 2 when a variable is missing."""
    missing = [name for name in ("AURORA_CLUSTER_ID", "AWS_ENDPOINT_URL_RDS", MARK) if not os.environ.get(name)]
    if missing:
        sys.stderr.write(f"the cluster cannot be followed: set {', '.join(missing)}\n")
        return 2
    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
    region = os.environ.get("AWS_REGION")
    rds = boto3.client("rds", region_name=region, config=config)
    watched = bool(os.environ.get("AWS_ENDPOINT_URL_CLOUDWATCH"))
    cloudwatch = boto3.client("cloudwatch", region_name=region, config=config) if watched else None
    service = SupervisedService(Supervisor(State(Path(os.environ[MARK]))), _SERVICE)
    ClusterFollower(rds, os.environ["AURORA_CLUSTER_ID"], service, cloudwatch).follow(ended)
    return 0


if __name__ == "__main__":
    sys.exit(main())
