"""Owns the watch over the job: whenever it is missing from the session cluster, it is submitted again.

A session cluster without high availability forgets its jobs with its JobManager. The keeper looks twice a second, and
hands the job over again from its newest complete checkpoint. It is safe to kill at any moment, and to run beside
`submit`: see `submission`. A job that was cancelled or has finished was ended by somebody, and stays ended, unless it
was a submitter that made room for another job and died before that was there.
"""

import time
from threading import Event

import structlog

from flink_jobs.cluster.ending import SubmissionError
from flink_jobs.cluster.lock import BusyError
from flink_jobs.cluster.registry import RegistryUnreachableError
from flink_jobs.cluster.rest import FlinkError, FlinkRest, FlinkUnreachableError, Job
from flink_jobs.cluster.submission import Submitter, UncommittedError
from flink_jobs.compiling import StoppedError
from flink_jobs.filters import FilterError
from flink_jobs.plan import PlanError
from flink_jobs.settings import FlinkSettings

_log = structlog.get_logger()

_INTERVAL_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
_REGISTRY_PAUSE_SECONDS = 1.0
_CHECKPOINT_SECONDS = 5.0
"""Well within the ten seconds that a container is given to end."""


class Keeper:
    """Keep the one job of these settings in the cluster.

    Args:
        settings: Cluster, broker, filters, folders.
        rest: The cluster.
        submitter: How the job gets there.
    """

    def __init__(self, settings: FlinkSettings, rest: FlinkRest, submitter: Submitter) -> None:
        self._settings = settings
        self._rest = rest
        self._submitter = submitter
        self._wanted: str | None = None
        self._unusable: frozenset[str] = frozenset()
        self._failures = 0
        self._not_before = 0.0
        self._told: tuple[str, str] | None = None
        self._tidied: str | None = None

    def run(self, stop: Event) -> None:
        """Keep the job until `stop` is set; then take a last checkpoint, for the cluster is about to stop as well.

        Raises:
            FilterError: The filter file is wrong and no earlier plan is kept.
            PlanError: The job cannot be compiled and no earlier plan is kept.
            RegistryError: The schema registry forbids the job and no earlier plan is kept.
            StoppedError: `stop` was set before there was a plan.
        """
        self.choose(stop)
        while not stop.is_set():
            self.look()
            stop.wait(_INTERVAL_SECONDS)
        self.leave()

    def leave(self) -> None:
        """Take a last checkpoint, so that the next start repeats nothing that was read before.

        A job that writes in transactions is suspended with a savepoint instead, after which none of them is open: the
        broker gives up those that a cluster leaves behind for long, and their records with them. Best effort: without
        it, the newest periodic checkpoint serves, and what came after it is read again.
        """
        try:
            job = self._submitter.look().alive
            known = self._submitter.ledger.find(job.id) if job is not None else None
            if job is not None and job.runs_whole and known is not None and known.transactional:
                with self._submitter.alone(wait=False):
                    self._submitter.ending.suspend(job, _CHECKPOINT_SECONDS)
            elif job is not None and job.runs_whole and self._rest.take_checkpoint(job.id, _CHECKPOINT_SECONDS):
                self._tell("last_checkpoint_taken", "", job=job.id)
        except BusyError:
            self._tell("submitter_at_work", "")
        except (FlinkError, SubmissionError) as error:
            self._tell("last_checkpoint_failed", str(error))

    def choose(self, stop: Event) -> None:
        """Decide what to submit when no job is there: what was deployed last, at the first start the filter file."""
        try:
            self._wanted = self._prepare(stop)
        except (FilterError, PlanError) as error:
            if self._submitter.plans.current is None:
                raise
            remedy = "correct the file and run `python -m flink_jobs submit`; until then the last good plan runs"
            _log.error("filters_unusable", reason=str(error), remedy=remedy)

    def _prepare(self, stop: Event) -> str:
        """Return the digest of the plan to run; a registry that is away is waited for where no plan can do without."""
        while True:
            try:
                return self._submitter.planner.prepare_deployed(stop)
            except RegistryUnreachableError as error:
                if self._submitter.plans.current is not None:
                    raise
                self._tell("registry_unreachable", str(error))
                if stop.wait(_REGISTRY_PAUSE_SECONDS):
                    raise StoppedError from error

    def look(self) -> None:
        """Look once, and act; whatever the cluster answers, this returns."""
        try:
            sight = self._submitter.look()
            if sight.alive is not None:
                self._care_for(sight.alive)
            elif sight.last is not None and sight.last[1] != "FAILED" and not sight.goes_on:
                self._tell("job_ended", sight.last[1], remedy="run `python -m flink_jobs submit` to start it again")
            elif time.monotonic() >= self._not_before:
                self._bring_back(sight.last[0] if sight.last and sight.last[1] == "FAILED" else None)
        except BusyError:
            self._tell("submitter_at_work", "")
        except FlinkUnreachableError as error:
            self._tell("flink_unreachable", str(error))
        except FlinkError as error:
            self._tell("flink_refuses", str(error))

    def _care_for(self, job: Job) -> None:
        self._tell("job_seen", job.state, job=job.id)
        # From now on only `submit` changes what runs: an edited file does not deploy itself.
        self._wanted = None
        if not job.runs_whole:
            return
        self._submitter.settle(job)
        if self._tidied != job.id and self._rest.newest_checkpoint(job.id) is not None:
            # It has checkpoints of its own now; what the jobs before it have left serves nobody.
            self._submitter.folders.remove(self._submitter.ledger.job_ids() - {job.id})
            self._tidied = job.id
            self._failures, self._unusable = 0, frozenset()

    def _bring_back(self, failed: str | None) -> None:
        with self._submitter.alone(wait=False):
            pass  # nobody else is at work, so what is missing is nobody's doing
        if failed is not None:
            self._pause()
            self._set_aside(failed)
        digest = self._wanted or self._submitter.plans.current
        if digest is None:
            self._tell("no_plan", "", remedy="run `python -m flink_jobs submit`")
            return
        try:
            self._submitter.submit_if_missing(digest, self._unusable)
        except FlinkUnreachableError:
            raise
        except UncommittedError as error:
            _log.error("plan_refused", reason=str(error), instead="the last good plan")
            self._wanted = None
        except (FlinkError, PlanError, SubmissionError) as error:
            self._pause()
            _log.error("submission_failed", reason=str(error), again_in=round(self._not_before - time.monotonic(), 1))

    def _set_aside(self, failed: str) -> None:
        """Take a checkpoint for unusable when a job that started from it failed before it made one of its own."""
        _log.error("job_failed", job=failed, reason=self._rest.failure(failed))
        origin = self._submitter.ledger.find(failed)
        if origin and origin.checkpoint and self._rest.newest_checkpoint(failed) is None:
            _log.error("checkpoint_unusable", checkpoint=origin.checkpoint)
            self._unusable |= {origin.checkpoint}

    def _pause(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + min(_LONGEST_PAUSE_SECONDS, 2.0 ** (self._failures - 1))

    def _tell(self, event: str, detail: str, **fields: str) -> None:
        """Log a finding when it is new, not twice a second."""
        if self._told != (event, detail):
            self._told = (event, detail)
            _log.info(event, detail=detail, **fields)
