"""The auto-start function: `functions.cluster_power.auto_start.handler`.

Owns which state of the cluster gets which answer (LC-51 to LC-54). It starts a stopped cluster and never does anything
else to it; whoever calls need not be told apart.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import structlog

from functions import logs
from functions.cluster_power.answers import Outcome, failure
from functions.cluster_power.aws import client
from functions.cluster_power.cluster import AVAILABLE, STARTING, STOPPED, Cluster, ClusterError, StateConflictError
from functions.cluster_power.metrics import STARTED, count, metrics
from functions.cluster_power.settings import PowerSettings

_log = structlog.get_logger()
_metrics = metrics("auto-start")

_TOLD = {AVAILABLE: "The database cluster is available", STARTING: "The database cluster is starting already"}


@dataclass(frozen=True, slots=True)
class AutoStart:
    """Start one cluster when it is stopped."""

    cluster: Cluster

    @classmethod
    def from_environment(cls) -> Self:
        """Return it for the cluster that the environment names.

        Raises:
            pydantic.ValidationError: A variable is missing or unusable.
        """
        settings = PowerSettings()
        logs.configure(settings.log_level)
        return cls(Cluster(client("rds", settings.aws_region), settings.aurora_cluster_id))

    def run(self) -> Outcome:
        """Return the outcome, after starting the cluster if it was stopped; never raises for anything AWS says."""
        try:
            status = self.cluster.status()
            if status == STOPPED:
                self.cluster.start()
        except StateConflictError as error:
            _log.info("cluster_in_transition", cluster_id=self.cluster.id, reason=str(error))
            return self._answer("The database cluster is changing its state", "transitioning")
        except ClusterError as error:
            _log.error("cluster_not_started", cluster_id=self.cluster.id, error=str(error))
            return failure(self.cluster.id, error)
        if status != STOPPED:
            _log.info("cluster_left_alone", cluster_id=self.cluster.id, status=status)
            return self._answer(_TOLD.get(status, f"The database cluster is {status}"), status)
        _log.info("cluster_started", cluster_id=self.cluster.id)
        note = "It takes 1-2 minutes; retry with growing pauses"
        return self._answer("The database cluster is being started", STARTING, switched=True, note=note)

    def _answer(self, message: str, status: str, *, switched: bool = False, **more: str) -> Outcome:
        members = {"message": message, "status": status, "cluster_id": self.cluster.id, **more}
        return Outcome(200, members, switched=switched)


@cache
def service() -> AutoStart:
    """Return the function's parts, made once for each process."""
    return AutoStart.from_environment()


@_metrics.log_metrics(capture_cold_start_metric=True)
def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """Answer one call; what the event says does not matter."""
    outcome = service().run()
    count(_metrics, STARTED, outcome)
    return outcome.answer()


# In Lambda a missing variable must stop the start, not the first call.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    service()
