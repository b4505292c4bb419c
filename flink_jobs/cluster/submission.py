"""Owns the way of the job into the cluster: choose its plan and its start, hand it over, await it, or put back the old.

There is never more than one job of our name. A job's id follows from the JobManager's incarnation and from how many of
our jobs have ended in it, so that two submitters, or one that lost the answer, choose the same id, and the cluster
refuses the second. A new incarnation gives a new id: with the old one, the task slots that its former life still holds
would keep the job waiting until they time out (measured). Must never import PyFlink.
"""

import hashlib
import time
from contextlib import AbstractContextManager

import structlog

from flink_jobs.cluster.checkpoints import Folders
from flink_jobs.cluster.ending import Ending, SubmissionError
from flink_jobs.cluster.handover import Way, by_rest
from flink_jobs.cluster.ledger import LEDGER_FILE, Ledger, Stop, Submission
from flink_jobs.cluster.lock import alone
from flink_jobs.cluster.rest import FlinkError, FlinkRest, FlinkUnreachableError, Job
from flink_jobs.cluster.sight import Sight, look
from flink_jobs.cluster.waiting import wait_until_running
from flink_jobs.plan import Plan, PlanError
from flink_jobs.planning import Planner
from flink_jobs.settings import FlinkSettings

_log = structlog.get_logger()

_PATIENCE_SECONDS = 5.0
"""So long may a new job go on failing before the one it has replaced comes back; until then records wait."""


class UncommittedError(SubmissionError):
    """Say that a start point may hold transactions that only a job which writes in transactions can commit."""


class Submitter:
    """Bring the job of these settings into one cluster.

    Args:
        settings: Cluster, broker, filters, folders.
        rest: The cluster.
    """

    def __init__(self, settings: FlinkSettings, rest: FlinkRest) -> None:
        self._settings = settings
        self._rest = rest
        self.planner = Planner(settings)
        self.plans = self.planner.plans
        self.ledger = Ledger(settings.flink_plan_dir / LEDGER_FILE)
        self.records = self.planner.records
        self.folders = Folders(settings.flink_checkpoint_dir, settings.flink_savepoint_dir)
        self.ending = Ending(rest, self.ledger, settings.flink_savepoint_dir)
        self._by_rest = by_rest(rest, settings.archives)

    def look(self) -> Sight:
        """Return what the cluster, and the ledger behind it, know of our job; note the ends that are news.

        Raises:
            FlinkError: The cluster does not answer.
        """
        return look(self._rest, self.ledger, self._settings.flink_job_name)

    def submit_if_missing(self, digest: str, without: frozenset[str] = frozenset()) -> Job:
        """Return our job that has not ended; submit the plan first when there is none.

        Args:
            digest: The plan.
            without: Checkpoints (URIs) that have proved unusable.

        Raises:
            BusyError: Another submitter is at work; it will leave a job behind.
            UncommittedError: The start point needs a plan that writes in transactions.
            PlanError: The plan is not there or cannot be used.
            FlinkError: The cluster refuses it or does not answer.
        """
        with self.alone(wait=False):
            sight = self.look()
            if sight.alive is not None:
                return sight.alive
            plan, start = self.plans.load(digest), self._start(without)
            self._check_committed(plan, start)
            self.plans.make_current(digest)
            return self._submit(plan, sight, start)

    def deploy(self, digest: str, timeout: float, start: str | None = None, way: Way | None = None) -> Job:
        """Bring this plan into the cluster and wait until all of it runs; else put back what ran before (FL-74).

        Args:
            digest: The plan.
            timeout: How long the new job may take to run, in seconds. One that keeps failing gets a few of them only,
                because records wait meanwhile.
            start: The checkpoint or savepoint to start from, instead of where the old job ends.
            way: How it is handed over; by default in one request to the cluster.

        Returns:
            The running job; that of before when it was made from this very plan and no start is given.

        Raises:
            PlanError: The plan is not there or cannot be used; nothing was changed.
            SubmissionError: It does not run; the message has Flink's root cause and says what runs instead.
            FlinkUnreachableError: The cluster does not answer.
        """
        with self.alone():
            plan = self.plans.load(digest)
            sight = self.look()
            if sight.alive is not None and self._plan_of(sight.alive) == digest and start is None:
                job = sight.alive
                wait_until_running(self._rest, job.id, timeout)
            else:
                before = self._plan_to_put_back(sight)
                savepoint = self._make_room(sight, digest)
                origin = savepoint or self._start()
                try:
                    job = self._submit(plan, self.look(), start or origin, way)
                    wait_until_running(self._rest, job.id, timeout, _PATIENCE_SECONDS if before else None)
                except (FlinkError, PlanError, SubmissionError) as error:
                    instead = self._put_back(before, origin, timeout, restored=start is not None)
                    raise SubmissionError(f"{error}; {instead}") from error
            self.plans.make_current(digest)
            return job

    def settle(self, job: Job) -> None:
        """Take a job that runs whole for the one that is to run, when whoever brought it here died over it.

        Raises:
            BusyError: Another submitter is at work.
        """
        with self.alone(wait=False):
            digest = self._plan_of(job)
            if digest is not None and digest != self.plans.current and digest in self.plans:
                self.plans.make_current(digest)
                _log.info("plan_settled", digest=digest, job=job.id)
            if self.ledger.goes_on(job.id):
                self.ledger.add(Stop(job.id, goes_on=False))

    def wait_for_cluster(self, seconds: float) -> None:
        """Wait until the cluster answers.

        Raises:
            FlinkUnreachableError: It did not within that time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._rest.jobs()
            except FlinkUnreachableError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def alone(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the lock of the plan folder.

        Raises:
            BusyError: Another submitter holds it, and `wait` is False.
        """
        return alone(self._settings.flink_plan_dir, wait=wait)

    def _plan_of(self, job: Job) -> str | None:
        known = self.ledger.find(job.id)
        return known.digest if known else None

    def _plan_to_put_back(self, sight: Sight) -> str | None:
        """Return the plan of what runs, or of what the cluster has lost; none of a job that somebody ended."""
        if sight.alive is not None:
            digest = self._plan_of(sight.alive) or self.plans.current
        elif sight.last is None or sight.last[1] == "FAILED" or sight.goes_on:
            digest = self.plans.current
        else:
            digest = None
        return digest if digest is not None and digest in self.plans else None

    def _make_room(self, sight: Sight, digest: str) -> str | None:
        if sight.alive is None:
            return None
        _log.info("job_replaced", job=sight.alive.id, by=digest)
        return self.ending.pause(sight.alive)

    def _put_back(self, digest: str | None, origin: str | None, timeout: float, *, restored: bool) -> str:
        """End the job that does not run, start the plan of before, and say in words what has become of it."""
        try:
            sight = self.look()
            if sight.alive is not None:
                self.ending.cancel(sight.alive.id, goes_on=digest is not None)
            if digest is None:
                return "nothing ran before it, and nothing runs now"
            if sight.alive is not None and not restored:
                # What it has done after all is not done again.
                origin = next((each.uri for each in self.folders.of([sight.alive.id])), origin)
            job = self._submit(self.plans.load(digest), self.look(), origin)
            wait_until_running(self._rest, job.id, timeout)
        except (FlinkError, PlanError, SubmissionError) as error:
            return f"what ran before could not be put back: {error}"
        _log.info("job_put_back", job=job.id, plan=digest, checkpoint=origin)
        return f"what ran before runs on, as job {job.id}"

    def _start(self, without: frozenset[str] = frozenset()) -> str | None:
        return next((uri for uri in self.folders.to_start_from(self.ledger) if uri not in without), None)

    def _submit(self, plan: Plan, sight: Sight, start: str | None, way: Way | None = None) -> Job:
        self._check_committed(plan, start)
        seed = f"{plan.name}\n{sight.incarnation}\n{sight.ended}"
        job_id = hashlib.md5(seed.encode(), usedforsecurity=False).hexdigest()
        self.ledger.add(Submission(job_id, plan.digest, start, sight.incarnation, plan.transactional))
        (way or self._by_rest)(plan, job_id, start)
        _log.info("job_submitted", job=job_id, plan=plan.digest, checkpoint=start)
        return Job(job_id, plan.name, "INITIALIZING", 0, 0)

    def _check_committed(self, plan: Plan, start: str | None) -> None:
        """Refuse to leave transactions behind: those of a checkpoint are committed after it, of a stop before its end.

        A job that does not write in transactions drops them without a word, and their records are lost.
        """
        points = self.folders.of(self.ledger.job_ids())
        point = next((each for each in points if each.uri == start and each.number is not None), None)
        made_by = self.ledger.find(point.job_id) if point else None
        if made_by is not None and made_by.transactional and not plan.transactional:
            raise UncommittedError(
                "the last checkpoint may hold records that only exactly-once can commit; start the job once more with"
                " FLINK_DELIVERY=exactly-once, and change it while it runs"
            )
