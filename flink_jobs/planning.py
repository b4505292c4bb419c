"""Owns which plan is to run: that of the filter file, of what was deployed last, or of a set; compiled when needed.

Must never talk to the cluster.
"""

import time
from threading import Event

import structlog

from flink_jobs.compiling import compile_blueprint
from flink_jobs.filters import FilterSet, load_filters
from flink_jobs.lifecycle.records import Records
from flink_jobs.lock import alone
from flink_jobs.plan import Blueprint, PlanStore, blueprint
from flink_jobs.registry import RegistryUnreachableError, admit
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import filtered_topics, statements

_log = structlog.get_logger()


class Planner:
    """Make the plans of these settings.

    Args:
        settings: Filters, folders, and all that the SQL is made from.
    """

    def __init__(self, settings: FlinkSettings) -> None:
        self._settings = settings
        self.plans = PlanStore(settings.flink_plan_dir)
        self.records = Records(settings.lifecycle_dir / "ran")

    def wanted(self) -> Blueprint:
        """Return what the job of the filter file is made of.

        Raises:
            FilterError: The filter file is wrong.
        """
        return self._blueprint(load_filters(self._settings.filters_file))

    def prepare(self, stop: Event | None = None) -> str:
        """Return the digest of the plan of the filter file, compiled now unless it is kept already.

        Raises:
            FilterError: The filter file is wrong.
            PlanError: It cannot be compiled.
            StoppedError: `stop` was set meanwhile.
        """
        return self.prepare_set(load_filters(self._settings.filters_file), stop)

    def prepare_deployed(self, stop: Event | None = None) -> str:
        """Return the digest of the plan of what was deployed last, compiled anew where settings or versions changed.

        Before the first submission that is the filter file as it is.

        Raises:
            FilterError: There was no submission yet, and the filter file is wrong.
            PlanError: It cannot be compiled.
            StoppedError: `stop` was set meanwhile.
        """
        ran = self.records.find(self.plans.current)
        return self.prepare(stop) if ran is None else self.prepare_set(ran.filters, stop)

    def prepare_set(self, filters: FilterSet, stop: Event | None = None) -> str:
        """Return the digest of the plan of these filters, compiled now unless it is kept already.

        Raises:
            PlanError: It cannot be compiled.
            RegistryError: The schema registry does not allow what would be written, or does not answer.
            StoppedError: `stop` was set meanwhile.
        """
        wanted = self._blueprint(filters)
        self._admit(filters, known=wanted.digest in self.plans)
        if wanted.digest not in self.plans:
            begun = time.monotonic()
            with alone(self._settings.flink_plan_dir):
                if wanted.digest not in self.plans:
                    compile_blueprint(wanted, self._settings.flink_plan_dir, stop or Event())
            _log.info("plan_compiled", digest=wanted.digest, seconds=round(time.monotonic() - begun, 2))
        self.records.note(wanted.digest, filters)
        return wanted.digest

    def _admit(self, filters: FilterSet, *, known: bool) -> None:
        """File the schema of the filtered topics where values are Avro, before anything is compiled or runs."""
        registry = self._settings.registry
        if registry is None:
            return
        try:
            admit(registry, filtered_topics(filters, self._settings.topic_suffix))
        except RegistryUnreachableError as error:
            # What was admitted once may run; its tasks wait for the registry by themselves.
            if not known:
                raise
            _log.warning("registry_unreachable", reason=str(error))

    def _blueprint(self, filters: FilterSet) -> Blueprint:
        return blueprint(self._settings, statements(filters, self._settings.places))
