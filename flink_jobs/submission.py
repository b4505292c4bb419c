"""Owns the way of the job into the cluster: compile it when needed, choose its checkpoint, hand it over, await it.

There is never more than one job of our name. A job's id follows from the JobManager's incarnation and from how many of
our jobs have ended in it, so that two submitters, or one that lost the answer, choose the same id, and the cluster
refuses the second. A new incarnation gives a new id: with the old one, the task slots that its former life still holds
would keep the job waiting until they time out (measured). Must never import PyFlink.
"""

import fcntl
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import structlog

from flink_jobs.checkpoints import LEDGER_FILE, End, Ledger, Submission, complete_checkpoints
from flink_jobs.filters import load_filters
from flink_jobs.plan import Blueprint, Plan, PlanError, PlanStore, blueprint
from flink_jobs.registry import RegistryUnreachableError, admit
from flink_jobs.rest import FlinkError, FlinkRest, FlinkUnreachableError, Job
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import Registry, filtered_topics, statements

_log = structlog.get_logger()

_POLL_SECONDS = 0.05
_STEADY_SECONDS = 0.5
"""A job counts as running after this long: a topic that is missing shows a moment after the tasks have started."""
_CHECKPOINT_SECONDS = 10
_END_SECONDS = 60


class SubmissionError(RuntimeError):
    """Say why the job does not run."""


class StoppedError(Exception):
    """Say that the caller was told to stop."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Tell what there is of our job in one life of the JobManager.

    Attributes:
        incarnation: That life.
        alive: The job that has not ended, if there is one.
        ended: How many of ours have ended.
        last: The newest of those, as (job id, Flink's terminal state).
    """

    incarnation: str
    alive: Job | None
    ended: int
    last: tuple[str, str] | None


class Submitter:
    """Bring the job of these settings into one cluster.

    Args:
        settings: Cluster, broker, filters, folders.
        rest: The cluster.
    """

    def __init__(self, settings: FlinkSettings, rest: FlinkRest) -> None:
        self._settings = settings
        self._rest = rest
        self.plans = PlanStore(settings.flink_plan_dir)
        self.ledger = Ledger(settings.flink_plan_dir / LEDGER_FILE)

    def prepare(self, stop: Event | None = None) -> str:
        """Return the digest of the plan of the current filters, compiled now unless it is kept already.

        Raises:
            FilterError: The filter file is wrong.
            PlanError: It cannot be compiled.
            RegistryError: The schema registry does not allow what would be written, or does not answer.
            StoppedError: `stop` was set meanwhile.
        """
        filters, places = load_filters(self._settings.filters_file), self._settings.places
        wanted = blueprint(self._settings, statements(filters, places))
        if places.registry is not None:
            self._admit(places.registry, filtered_topics(filters, places.suffix), known=wanted.digest in self.plans)
        if wanted.digest not in self.plans:
            begun = time.monotonic()
            with self._alone():
                if wanted.digest not in self.plans:
                    compile_blueprint(wanted, self._settings.flink_plan_dir, stop or Event())
            _log.info("plan_compiled", digest=wanted.digest, seconds=round(time.monotonic() - begun, 2))
        return wanted.digest

    def _admit(self, registry: Registry, topics: Sequence[str], *, known: bool) -> None:
        try:
            admit(registry, topics)
        except RegistryUnreachableError as error:
            # What was admitted once may run; its tasks wait for the registry by themselves.
            if not known:
                raise
            _log.warning("registry_unreachable", reason=str(error))

    def look(self) -> Sight:
        """Return what the cluster, and the ledger behind it, know of our job; note the ends that are news.

        Raises:
            FlinkError: The cluster does not answer.
        """
        incarnation = self._rest.incarnation()
        jobs = [job for job in self._rest.jobs() if job.name == self._settings.flink_job_name]
        known = self.ledger.ends()
        for job in reversed(jobs):
            if job.ended and job.id not in known:
                self.ledger.add(End(job.id, job.state))
                known[job.id] = job.state
        here = {each.job_id for each in self.ledger.submissions() if each.incarnation == incarnation}
        here |= {job.id for job in jobs}
        ended = [(job_id, state) for job_id, state in known.items() if job_id in here]
        alive = next((job for job in jobs if not job.ended), None)
        return Sight(incarnation, alive, len(ended), ended[-1] if ended else None)

    def submit_if_missing(self, digest: str, without: frozenset[str] = frozenset()) -> Job:
        """Return our job that has not ended; submit the plan first when there is none.

        Args:
            digest: The plan.
            without: Checkpoints (URIs) that have proved unusable.

        Raises:
            PlanError: The plan is not there or cannot be used.
            FlinkError: The cluster refuses it or does not answer.
        """
        with self._alone():
            sight = self.look()
            return sight.alive or self._submit(self.plans.load(digest), sight, without)

    def replace(self, digest: str) -> Job:
        """Bring this plan into the cluster, in the place of one made from other filters; return the job.

        The old job ends after a last checkpoint, which the new one starts from: nothing is lost, and what was read in
        between is read again.

        Raises:
            PlanError: The plan is not there or cannot be used.
            FlinkError: The cluster refuses it or does not answer.
            SubmissionError: The old job does not end.
        """
        self.plans.make_current(digest)
        alive = self.look().alive
        if alive is not None:
            known = self.ledger.find(alive.id)
            if known is not None and known.digest == digest:
                return alive
            _log.info("job_replaced", job=alive.id, by=digest)
            self._end(alive)
        return self.submit_if_missing(digest)

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
                time.sleep(_POLL_SECONDS)
            else:
                return

    def wait_until_running(self, job_id: str, seconds: float) -> None:
        """Wait until every task of the job runs (FL-58).

        Raises:
            SubmissionError: It failed, or does not run within that time; the message has Flink's root cause.
        """
        deadline = time.monotonic() + seconds
        since: float | None = None
        state = "unknown"
        while True:
            try:
                job = next((each for each in self._rest.jobs() if each.id == job_id), None)
            except FlinkUnreachableError:
                job = None
            now = time.monotonic()
            since = (since or now) if job is not None and job.runs_whole else None
            if since is not None and now - since >= _STEADY_SECONDS:
                return
            state = job.state if job else "unknown"
            if (job is not None and job.ended) or now >= deadline:
                raise SubmissionError(f"job {job_id} does not run, it is {state}: {self._cause(job_id)}")
            time.sleep(_POLL_SECONDS)

    def _cause(self, job_id: str) -> str:
        try:
            return self._rest.failure(job_id) or "no failure is recorded; are there enough task slots?"
        except FlinkError as error:
            return str(error)

    def _submit(self, plan: Plan, sight: Sight, without: frozenset[str]) -> Job:
        seed = f"{plan.name}\n{sight.incarnation}\n{sight.ended}"
        job_id = hashlib.md5(seed.encode(), usedforsecurity=False).hexdigest()
        known = (entry.job_id for entry in self.ledger.submissions())
        checkpoints = complete_checkpoints(self._settings.flink_checkpoint_dir, known)
        checkpoint = next((each.uri for each in checkpoints if each.uri not in without), None)
        body = plan.render(job_id, checkpoint)
        jars = self._jars(plan)
        self.ledger.add(Submission(job_id, plan.digest, checkpoint, sight.incarnation))
        self._rest.submit(body, jars)
        _log.info("job_submitted", job=job_id, plan=plan.digest, checkpoint=checkpoint)
        return Job(job_id, plan.name, "INITIALIZING", 0, 0)

    def _jars(self, plan: Plan) -> dict[str, bytes]:
        """Return what goes along: the functions, and the connector unless the cluster has it."""
        present = self._rest.class_path()
        missing = (jar for jar in self._settings.archives if jar.name not in present)
        return {"headwater-functions.jar": plan.functions_jar, **{jar.name: jar.read_bytes() for jar in missing}}

    def _end(self, job: Job) -> None:
        try:
            self._rest.take_checkpoint(job.id, _CHECKPOINT_SECONDS)
        except FlinkError as error:
            # A job that is restarting takes none; its newest one serves.
            _log.warning("last_checkpoint_failed", job=job.id, reason=str(error))
        self._rest.cancel(job.id)
        # It must have ended before another is submitted: two would write twice.
        deadline = time.monotonic() + _END_SECONDS
        while any(each.id == job.id and not each.ended for each in self._rest.jobs()):
            if time.monotonic() >= deadline:
                raise SubmissionError(f"job {job.id} does not end within {_END_SECONDS} s; see the Flink web page")
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock that every submitter of this folder takes; the system frees it when a process dies."""
        folder = self._settings.flink_plan_dir
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def compile_blueprint(wanted: Blueprint, folder: Path, stop: Event) -> None:
    """Compile into a plan folder, in a process of its own whose JVM and memory end with it.

    Raises:
        PlanError: Flink refuses the job.
        StoppedError: `stop` was set meanwhile.
    """
    command = [sys.executable, "-m", "flink_jobs.job", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        given: bytes | None = wanted.to_json().encode()
        try:
            while True:
                try:
                    told, noise = process.communicate(given, timeout=0.1)
                    break
                except subprocess.TimeoutExpired:
                    given = None
                    if stop.is_set():
                        raise StoppedError from None
        finally:
            process.kill()
    if process.returncode:
        # Its own words, or else the end of what it and its JVM wrote when they broke.
        reason = told.decode(errors="replace").strip() or noise.decode(errors="replace").strip()[-2000:]
        raise PlanError(reason or f"planning ended with status {process.returncode}")
