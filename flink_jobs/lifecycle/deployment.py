"""Owns the deployment of a filter file to a Flink cluster: what must hold before, the order, and what a failure leaves.

Backup, `deploying`, topics, plan, job, `deployed`. The file says `deployed` only when the new job runs; on any failure
it says `failed`, and what ran runs on (FL-74). Where the job stays the same, nothing is restarted. Must never create a
topic or print: it is told how. Facts: FL-34 to FL-36, FL-73 to FL-76 of the contract.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flink_jobs.cluster.ending import SubmissionError
from flink_jobs.cluster.rest import FlinkError, Job
from flink_jobs.cluster.submission import Submitter
from flink_jobs.filters import Filter, FilterError, FilterSet, Status
from flink_jobs.lifecycle.file import Backup, Change, FileError, FilterFile, now
from flink_jobs.lifecycle.records import Ran
from flink_jobs.lifecycle.states import approve, begin, deployed, failed, settle, waiting
from flink_jobs.plan import PlanError
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import filtered_topics

MakeTopics = Callable[[Sequence[str]], Sequence[str]]
"""Create those of these topics that are missing; return their names. Raises TopicError when the broker refuses."""


StatementIds = Mapping[str, tuple[str, ...]]
"""What a filter is in the service, by its id: a job, or the names of statements."""

Act = Callable[[FilterSet], StatementIds]
Note = Callable[[FilterSet], None]
Known = Callable[[str], Filter | None]


class TargetError(RuntimeError):
    """Say why a service does not take a deployment; others than Flink's own errors derive from it."""


class TopicError(TargetError):
    """Say what the broker refuses, or that it does not answer."""


class UnapprovedError(RuntimeError):
    """Say which filters nobody has approved, and how to (FL-35)."""


class DeploymentError(RuntimeError):
    """Say why a deployment failed; the file says so as well."""


@dataclass(frozen=True, slots=True)
class Running:
    """Hold what the cluster runs.

    Attributes:
        job: The job that has not ended, if there is one.
        digest: The plan it was submitted from, when it is one of ours.
        ran: The filters that plan was compiled from, when they are known.
    """

    job: Job | None
    digest: str | None
    ran: Ran | None

    def find(self, filter_id: str) -> Filter | None:
        """Return a filter as it runs."""
        return self.ran.find(filter_id) if self.ran else None


@dataclass(frozen=True, slots=True)
class Deployment:
    """Hold what came of a deployment.

    Attributes:
        changed: Whether another job runs now.
        job_id: The job that runs.
        plan: The digest of its plan.
        deployed: Filters whose state this has changed to `deployed`.
        topics_created: Output topics that were missing.
        backup: The name of the backup, None where nothing was written.
    """

    changed: bool
    job_id: str
    plan: str
    deployed: tuple[str, ...] = ()
    topics_created: tuple[str, ...] = ()
    backup: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return asdict(self)


def running(submitter: Submitter) -> Running:
    """Ask the cluster what runs, and the records what that is.

    Raises:
        FlinkError: The cluster does not answer.
    """
    job = submitter.look().alive
    known = submitter.ledger.find(job.id) if job else None
    return Running(job, known.digest if known else None, submitter.records.find(known.digest) if known else None)


def refuse_unapproved(filters: FilterSet, known: Known) -> None:
    """Refuse filters that are to run and that nobody has approved as they are (FL-35).

    Raises:
        UnapprovedError: There are such.
    """
    found = {each.id: waiting(each, known(each.id)) for each in filters.filters if _takes_part(each)}
    if names := [name for name, targets in found.items() if targets]:
        commands = ", ".join(f"`headwater filters approve {name}`" for name in names)
        raise UnapprovedError(
            f"not approved as they are now: {', '.join(names)}; review them with `headwater filters diff`, then "
            f"{commands}, or deploy with --force"
        )


def deploy(
    file: FilterFile,
    settings: FlinkSettings,
    submitter: Submitter,
    make_topics: MakeTopics,
    *,
    by: str,
    force: bool,
    timeout: float,
) -> Deployment:
    """Bring the filters of a file into the cluster, in the place of what runs.

    Args:
        file: The filter file.
        settings: The cluster and the topics.
        submitter: The way into the cluster.
        make_topics: Creates output topics.
        by: Who does it, for approvals that are forced.
        force: Approve what nobody has approved.
        timeout: Seconds within which the new job must run.

    Raises:
        FilterError: The file is wrong; nothing was done.
        UnapprovedError: Filters want an approval; nothing was done.
        FlinkError: The cluster does not answer; nothing was done.
        FileError: The file cannot be written.
        DeploymentError: It failed; what ran before runs, and the file says `failed`.
    """
    runs = running(submitter)
    before = file.read()
    if not force:
        refuse_unapproved(before, runs.find)
    file.check_writable()
    if _is_live(before, runs, submitter):
        return _nothing_to_do(runs)
    done: list[tuple[str, Job, tuple[str, ...]]] = []

    def act(opened: FilterSet) -> StatementIds:
        topics = tuple(make_topics(filtered_topics(opened, settings.topic_suffix)))
        digest = submitter.planner.prepare_set(opened)
        job = submitter.deploy(digest, timeout)
        done.append((digest, job, topics))
        return {each.id: (job.id,) for each in opened.filters}

    def note(closed: FilterSet) -> None:
        submitter.records.note(done[0][0], closed)
        submitter.records.succeeded(runs.digest, done[0][0])

    saved, newly = conduct(file, before, runs.find, act, note, by=by, force=force)
    digest, job, topics = done[0]
    return Deployment(runs.job is None or runs.digest != digest, job.id, digest, newly, topics, saved.name)


def conduct(
    file: FilterFile, before: FilterSet, known: Known, act: Act, note: Note, *, by: str, force: bool
) -> tuple[Backup, tuple[str, ...]]:
    """Carry out a deployment around what is done to the service: backup, `deploying`, the deed, `deployed` or `failed`.

    Args:
        file: The filter file.
        before: What it holds.
        known: A filter as it runs.
        act: The deed.
        note: What is written down of it, before the file is.
        by: Who does it, for approvals that are forced.
        force: Approve what nobody has approved.

    Returns:
        The backup, and the filters that are `deployed` and were not before.

    Raises:
        FileError: The file cannot be written.
        DeploymentError: It failed, and the file says `failed`.
    """
    saved, at = file.backup(), now()
    opened = file.update(lambda one: _opened(settle(one, known(one.id)), by=by, at=at, force=force))
    try:
        ids = act(opened)
    except (FlinkError, PlanError, SubmissionError, TargetError) as error:
        reason = str(error)
        _mark(file, lambda one: failed(one, "flink", at, reason), reason)
        raise DeploymentError(reason) from error
    done = now()
    closed = tuple(_closed(one, opened, ids, done) for one in opened.filters)
    # First what is certain: this runs. What the file says of it comes after.
    note(opened.model_copy(update={"filters": closed}))
    _mark(file, lambda one: _closed(one, opened, ids, done), "the new filters run")
    states = {each.id: each.status for each in before.filters}
    newly = (each.id for each in closed if each.status is Status.DEPLOYED and states[each.id] != each.status)
    return saved, tuple(newly)


def _mark(file: FilterFile, change: Change, what: str) -> None:
    try:
        file.update(change)
    except (FilterError, FileError) as error:
        raise DeploymentError(f"{what}; but the filter file cannot say so, correct it: {error}") from error


def _takes_part(one: Filter) -> bool:
    return any(one.runs_on(target) for target in one.targets)


def _is_live(filters: FilterSet, runs: Running, submitter: Submitter) -> bool:
    """Tell whether exactly this file runs already, states and all."""
    whole = runs.job is not None and runs.job.runs_whole
    return (
        whole
        and runs.ran is not None
        and same_but_for_times(runs.ran.filters, filters)
        and runs.digest == submitter.plans.current
    )


def same_but_for_times(left: FilterSet, right: FilterSet) -> bool:
    """Tell whether two sets are equal, but for when the file was last written."""
    plain = ([each.model_copy(update={"updated_at": None}) for each in one.filters] for one in (left, right))
    return next(plain) == next(plain)


def _nothing_to_do(runs: Running) -> Deployment:
    assert runs.job is not None
    assert runs.digest is not None
    return Deployment(False, runs.job.id, runs.digest)


def _opened(one: Filter, *, by: str, at: str, force: bool) -> Filter:
    """Return the filter as it is while its deployment is under way."""
    if not _takes_part(one):
        return one
    if force:
        one = approve(one, one.targets, by, at, forced=True)
    return begin(one, at)


def _closed(one: Filter, opened: FilterSet, ids: StatementIds, at: str) -> Filter:
    """Return the filter as it is now that it runs; one that was edited meanwhile is left to the next time."""
    meant = next((each for each in opened.filters if each.id == one.id), None)
    if meant is None or settle(one, meant) != one:
        return one
    if meant.runs_on("spring"):
        # The processor without Flink reads this very file: to write it is to deploy it.
        one = deployed(one, "spring", at)
    if meant.runs_on_flink:
        return deployed(one, "flink", at, ids.get(one.id, ()))
    return one.model_copy(update={"flink_statement_ids": ()}) if one.flink_statement_ids else one
