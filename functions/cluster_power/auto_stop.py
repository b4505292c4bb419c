"""The auto-stop function: `functions.cluster_power.auto_stop.handler`, called once an hour.

Owns whether an available cluster may be stopped (LC-61 to LC-68). Whatever cannot be seen keeps it running: only a
cluster that is known to be unused is stopped. It keeps no state, so a cluster that AWS has started again after seven
days is stopped again like any other (LC-71).
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Self

import structlog

from database import DatabaseSettings
from functions import logs
from functions.cluster_power.activity import Activity, ActivityError
from functions.cluster_power.answers import Outcome, failure
from functions.cluster_power.aws import client
from functions.cluster_power.cluster import AVAILABLE, Cluster, ClusterError
from functions.cluster_power.metrics import STOPPED, count, metrics
from functions.cluster_power.notice import Notice
from functions.cluster_power.settings import StopSettings
from functions.cluster_power.slots import SlotsError, active_slots, database_settings

_log = structlog.get_logger()
_metrics = metrics("auto-stop")


@dataclass(frozen=True, slots=True)
class AutoStop:
    """Stop one cluster when nobody uses it."""

    settings: StopSettings
    cluster: Cluster
    activity: Activity
    database: DatabaseSettings | None
    notice: Notice | None

    @classmethod
    def from_environment(cls) -> Self:
        """Return it for the cluster that the environment names.

        Raises:
            pydantic.ValidationError: A variable is missing or unusable.
        """
        settings = StopSettings()
        logs.configure(settings.log_level)
        database = database_settings()
        if database is None:
            _log.warning("slot_guard_off", remedy="set DATABASE_URL, so that a running CDC connector is seen")
        region, topic = settings.aws_region, settings.sns_topic_arn
        return cls(
            settings,
            Cluster(client("rds", region), settings.aurora_cluster_id),
            Activity(client("cloudwatch", region)),
            database,
            Notice(client("sns", region), topic) if topic else None,
        )

    def run(self) -> Outcome:
        """Return the outcome, after stopping the cluster if it was unused; never raises for anything AWS says."""
        try:
            status = self.cluster.status()
            if status != AVAILABLE:
                return self._kept(status, f"the cluster is {status}: nothing to do")
            if (reason := self._use()) is not None:
                return self._kept(status, reason)
            self.cluster.stop()
        except ClusterError as error:
            _log.error("cluster_not_stopped", cluster_id=self.cluster.id, error=str(error))
            return failure(self.cluster.id, error)
        reason = f"no request in {self.settings.inactivity_hours:g} h"
        _log.info("cluster_stopped", cluster_id=self.cluster.id, reason=reason)
        if self.notice is not None:
            self.notice.send(self.cluster.id, reason)
        return self._answer("The database cluster is being stopped", "stopping", reason, switched=True)

    def _use(self) -> str | None:
        """Return why the cluster must keep running, or None."""
        settings = self.settings
        window = timedelta(hours=settings.inactivity_hours)
        if settings.api_gateway_id is None:
            return "API_GATEWAY_ID is not set: its use cannot be seen"
        try:
            requests = self.activity.requests(settings.api_gateway_id, window)
            if requests:
                return f"requests in {settings.inactivity_hours:g} h: {requests}"
            uptime = self.activity.uptime(self.cluster.id)
        except ActivityError as error:
            return str(error)
        if uptime is None:
            return "AWS/RDS EngineUptime has no recent value: when the cluster was started is not known"
        if uptime < window:
            return f"started less than {settings.inactivity_hours:g} h ago"
        return self._readers()

    def _readers(self) -> str | None:
        """Return which slots are in use, or why nobody can tell, or None."""
        if self.database is None or self.settings.allow_stop_with_active_slots:
            return None
        try:
            slots = active_slots(self.database)
        except SlotsError as error:
            return f"the database cannot be asked for its replication slots: {error}"
        if not slots:
            return None
        return (
            f"active replication slots: {', '.join(slots)}; stop their readers,"
            " or set ALLOW_STOP_WITH_ACTIVE_SLOTS=true"
        )

    def _kept(self, status: str, reason: str) -> Outcome:
        _log.info("cluster_left_alone", cluster_id=self.cluster.id, status=status, reason=reason)
        return self._answer("No action", status, reason)

    def _answer(self, message: str, status: str, reason: str, *, switched: bool = False) -> Outcome:
        members = {"message": message, "status": status, "cluster_id": self.cluster.id, "reason": reason}
        return Outcome(200, members, switched=switched)


@cache
def service() -> AutoStop:
    """Return the function's parts, made once for each process."""
    return AutoStop.from_environment()


@_metrics.log_metrics(capture_cold_start_metric=True)
def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """Answer one call; what the event says does not matter."""
    outcome = service().run()
    count(_metrics, STOPPED, outcome)
    return outcome.answer()


# In Lambda a missing variable must stop the start, not the first call.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    service()
