"""How the job comes back, and stays one: submitter and keeper against a cluster that is a list in memory."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from flink_jobs.checkpoints import Submission
from flink_jobs.filters import FilterError, load_filters
from flink_jobs.keeper import Keeper
from flink_jobs.plan import STAND_IN_CHECKPOINT, STAND_IN_JOB_ID, Plan, blueprint
from flink_jobs.registry import IncompatibleSchemaError, RegistryUnreachableError
from flink_jobs.rest import CompletedCheckpoint, FlinkError, FlinkUnreachableError, Job
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import statements
from flink_jobs.submission import StoppedError, SubmissionError, Submitter

STRING = b"\x74" + len(STAND_IN_CHECKPOINT).to_bytes(2, "big") + STAND_IN_CHECKPOINT.encode()


class Cluster:
    """Answer like Flink's REST interface: jobs by id, gone with the JobManager."""

    def __init__(self) -> None:
        self.lives = 1
        self.reachable = True
        self.loses_answers = False
        self.on_submit = "RUNNING"
        self.accepted: list[tuple[str, bytes]] = []
        self.known: dict[str, Job] = {}
        self.checkpoints: dict[str, CompletedCheckpoint] = {}

    def die(self) -> None:
        """Lose every job."""
        self.lives += 1
        self.known.clear()
        self.checkpoints.clear()

    def end(self, job_id: str, state: str) -> None:
        """Let a job end."""
        self.known[job_id] = Job(job_id, "headwater-filters", state, 2, 0)

    def incarnation(self) -> str:
        """Name the life of the JobManager."""
        self._answer()
        return f"life {self.lives}"

    def class_path(self) -> frozenset[str]:
        """Have no archive."""
        return frozenset()

    def jobs(self) -> tuple[Job, ...]:
        """List the jobs, newest first."""
        self._answer()
        return tuple(reversed(self.known.values()))

    def submit(self, plan: bytes, jars: dict[str, bytes]) -> str:
        """Take a job unless its id is taken."""
        self._answer()
        job_id = plan[:16].hex()
        if job_id in self.known:
            raise FlinkError("Job has already been submitted.")
        self.accepted.append((job_id, plan[16:]))
        self.known[job_id] = Job(job_id, "headwater-filters", self.on_submit, 2, 2 * (self.on_submit == "RUNNING"))
        if self.loses_answers:
            raise FlinkUnreachableError("gone")
        return job_id

    def cancel(self, job_id: str) -> None:
        """Cancel at once."""
        self.end(job_id, "CANCELED")

    def take_checkpoint(self, job_id: str, seconds: float) -> bool:
        """Complete one at once."""
        self._answer()
        self.checkpoints[job_id] = CompletedCheckpoint(99, "file:///x", 0)
        return seconds > 0

    def newest_checkpoint(self, job_id: str) -> CompletedCheckpoint | None:
        """Return it."""
        return self.checkpoints.get(job_id)

    def failure(self, job_id: str) -> str | None:
        """Give a cause."""
        return "it broke"

    def _answer(self) -> None:
        if not self.reachable:
            raise FlinkUnreachableError("no answer")


@pytest.fixture
def cluster() -> Cluster:
    """A cluster without jobs."""
    return Cluster()


@pytest.fixture
def settings(tmp_path: Path) -> FlinkSettings:
    """Settings whose filter file can be changed."""
    file = tmp_path / "filters.json"
    file.write_text(json.dumps({"version": 1, "filters": []}))
    return FlinkSettings(
        kafka_bootstrap_servers="broker:1", flink_checkpoint_dir=tmp_path / "checkpoints", filters_file=file
    )


@pytest.fixture
def submitter(settings: FlinkSettings, cluster: Cluster) -> Submitter:
    """A submitter that finds its plan compiled."""
    made = Submitter(settings, cluster)  # type: ignore[arg-type]
    compiled(made, settings)
    return made


def compiled(submitter: Submitter, settings: FlinkSettings) -> str:
    """Put the plan of the current filters where the compiler would, and return its digest."""
    parts = statements(load_filters(settings.filters_file), settings.places)
    digest = blueprint(settings, parts).digest
    stand_in = bytes.fromhex(STAND_IN_JOB_ID)
    submitter.plans.save(Plan(digest, "headwater-filters", stand_in, stand_in + STRING, b"jar"))
    return digest


@pytest.fixture
def keeper(settings: FlinkSettings, cluster: Cluster, submitter: Submitter) -> Keeper:
    """A keeper that has chosen its plan."""
    made = Keeper(settings, cluster, submitter)  # type: ignore[arg-type]
    made.choose(Event())
    return made


@pytest.fixture
def checkpoint(settings: FlinkSettings) -> Callable[..., str]:
    """Write a complete checkpoint of a job and return its URI."""

    def write(job_id: str, number: int) -> str:
        folder = settings.flink_checkpoint_dir / job_id / f"chk-{number}"
        folder.mkdir(parents=True)
        (folder / "_metadata").write_bytes(b"x")
        os.utime(folder / "_metadata", ns=(number, number))
        return f"file://{folder}"

    return write


def started_from(cluster: Cluster) -> list[str | None]:
    """Return the checkpoint that each accepted job was to start from."""
    return [body[3:].decode() if body else None for _, body in cluster.accepted]


def test_the_first_start_has_no_checkpoint(keeper: Keeper, cluster: Cluster) -> None:
    """A missing job is submitted once, and then it is there."""
    for _ in range(3):
        keeper.look()
    assert started_from(cluster) == [None]


def test_a_job_that_died_with_its_jobmanager_comes_back_from_its_newest_checkpoint(
    keeper: Keeper, cluster: Cluster, checkpoint: Callable[..., str]
) -> None:
    """Under a new id, from the newest complete checkpoint of ours (design: retained checkpoints)."""
    keeper.look()
    job = cluster.accepted[0][0]
    checkpoint(job, 3)
    newest = checkpoint(job, 4)
    checkpoint("of-somebody-else", 9)
    cluster.die()
    keeper.look()
    assert started_from(cluster) == [None, newest]
    assert cluster.accepted[1][0] != job


def test_the_last_thing_a_keeper_does_is_a_checkpoint(keeper: Keeper, cluster: Cluster) -> None:
    """What the cluster has read by then is not read again after the next start; without a cluster it just ends."""
    keeper.look()
    stopped = Event()
    stopped.set()
    keeper.run(stopped)
    assert list(cluster.checkpoints) == [cluster.accepted[0][0]]
    cluster.reachable = False
    keeper.run(stopped)


def test_there_is_one_job_however_many_submit(
    settings: FlinkSettings, submitter: Submitter, keeper: Keeper, cluster: Cluster
) -> None:
    """A second submitter finds the job of the first, also when it is another process."""
    keeper.look()
    digest = submitter.plans.current
    assert digest is not None
    other = Submitter(settings, cluster)  # type: ignore[arg-type]
    assert other.submit_if_missing(digest).id == cluster.accepted[0][0]
    assert other.replace(digest).id == cluster.accepted[0][0]
    assert len(cluster.accepted) == 1


def test_a_lost_answer_makes_no_second_job(keeper: Keeper, cluster: Cluster) -> None:
    """The cluster took the job, nobody was told: the next look finds it."""
    cluster.loses_answers = True
    for _ in range(3):
        keeper.look()
    assert len(cluster.accepted) == 1


def test_the_same_moment_gives_the_same_id(settings: FlinkSettings, submitter: Submitter, cluster: Cluster) -> None:
    """Two that see no job choose one id, so that the cluster can refuse the second."""
    digest = compiled(submitter, settings)
    submitter.submit_if_missing(digest)
    ((first, _),) = cluster.accepted
    cluster.known.clear()  # not listed yet
    submitter.submit_if_missing(digest)
    assert [job_id for job_id, _ in cluster.accepted] == [first, first]


@pytest.mark.parametrize("state", ["CANCELED", "FINISHED"])
def test_a_job_that_somebody_ended_stays_ended(keeper: Keeper, cluster: Cluster, state: str) -> None:
    """Even when the cluster has forgotten it, which it does after an hour; a new JobManager starts anew."""
    keeper.look()
    cluster.end(cluster.accepted[0][0], state)
    keeper.look()
    cluster.known.clear()
    keeper.look()
    assert len(cluster.accepted) == 1
    cluster.die()
    keeper.look()
    assert len(cluster.accepted) == 2


def test_a_failed_job_is_submitted_again_under_another_id(keeper: Keeper, cluster: Cluster) -> None:
    """The cluster refuses the id of a job that has ended."""
    keeper.look()
    cluster.end(cluster.accepted[0][0], "FAILED")
    keeper.look()
    assert len({job_id for job_id, _ in cluster.accepted}) == 2


def test_a_checkpoint_that_cannot_be_started_from_is_set_aside(
    keeper: Keeper, cluster: Cluster, checkpoint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before it serves, and then none; the offsets of the group are there for that."""
    monkeypatch.setattr("flink_jobs.keeper._LONGEST_PAUSE_SECONDS", 0)
    keeper.look()
    older, newest = (checkpoint(cluster.accepted[0][0], number) for number in (3, 4))
    cluster.die()
    cluster.on_submit = "FAILED"
    for _ in range(3):
        keeper.look()
    assert started_from(cluster) == [None, newest, older, None]


def test_an_unreachable_cluster_is_waited_for(keeper: Keeper, cluster: Cluster) -> None:
    """Nothing is raised, nothing is submitted, and the job comes when the cluster does."""
    cluster.reachable = False
    keeper.look()
    cluster.reachable = True
    keeper.look()
    assert len(cluster.accepted) == 1


def test_old_checkpoints_go_once_the_job_has_its_own(
    keeper: Keeper, cluster: Cluster, checkpoint: Callable[..., str], settings: FlinkSettings
) -> None:
    """Not before: until then they are all there is."""
    keeper.look()
    first = cluster.accepted[0][0]
    checkpoint(first, 1)
    cluster.die()
    keeper.look()
    keeper.look()
    assert (settings.flink_checkpoint_dir / first).exists()
    second = cluster.accepted[1][0]
    cluster.checkpoints[second] = CompletedCheckpoint(2, "file:///x", 0)
    keeper.look()
    assert not (settings.flink_checkpoint_dir / first).exists()


def test_an_edited_file_does_not_deploy_itself(
    keeper: Keeper, cluster: Cluster, submitter: Submitter, settings: FlinkSettings
) -> None:
    """While the keeper lives it brings back what ran, whatever the file says now; `submit` changes it."""
    keeper.look()
    ran = submitter.plans.current
    settings.filters_file.write_text(json.dumps({"version": 2, "filters": []}))
    keeper.look()
    cluster.die()
    keeper.look()
    assert submitter.plans.current == ran
    assert [entry.digest for entry in submitter.ledger.submissions()] == [ran, ran]


def test_other_filters_take_the_place_of_the_job_after_a_last_checkpoint(
    keeper: Keeper, cluster: Cluster, submitter: Submitter, checkpoint: Callable[..., str]
) -> None:
    """The old job has ended before the new one starts, from the old one's checkpoint."""
    keeper.look()
    first = cluster.accepted[0][0]
    newest = checkpoint(first, 99)
    stand_in = bytes.fromhex(STAND_IN_JOB_ID)
    submitter.plans.save(Plan("other", "headwater-filters", stand_in, stand_in + STRING, b"jar"))
    submitter.replace("other")
    assert cluster.known[first].state == "CANCELED"
    assert cluster.checkpoints[first].number == 99
    assert started_from(cluster) == [None, newest]
    keeper.look()
    cluster.die()
    keeper.look()
    assert [entry.digest for entry in submitter.ledger.submissions()][-1] == "other"


def test_a_wrong_filter_file_leaves_the_last_good_plan_running(
    settings: FlinkSettings, cluster: Cluster, submitter: Submitter, keeper: Keeper
) -> None:
    """The keeper starts with what ran before; without anything to run it says what is wrong."""
    keeper.look()
    settings.filters_file.write_text("{")
    cluster.die()
    again = Keeper(settings, cluster, submitter)  # type: ignore[arg-type]
    again.choose(Event())
    again.look()
    assert len(cluster.accepted) == 2
    (settings.flink_plan_dir / "current").unlink()
    with pytest.raises(FilterError, match="no JSON"):
        Keeper(settings, cluster, submitter).choose(Event())  # type: ignore[arg-type]


def test_a_submission_is_on_disk_before_the_cluster_is_asked(
    settings: FlinkSettings, submitter: Submitter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens then, the checkpoints of that job are known to be ours."""
    seen: list[list[Submission]] = []
    monkeypatch.setattr(cluster, "submit", lambda *_: seen.append(submitter.ledger.submissions()))
    submitter.submit_if_missing(compiled(submitter, settings))
    assert [len(entries) for entries in seen] == [1]


def test_a_job_that_does_not_run_is_told_with_its_cause(submitter: Submitter, cluster: Cluster) -> None:
    """The message has the job, its state and Flink's root cause (FL-58)."""
    cluster.end("a" * 32, "FAILED")
    with pytest.raises(SubmissionError, match=r"a{32} does not run, it is FAILED: it broke"):
        submitter.wait_until_running("a" * 32, 5)
    cluster.known["b" * 32] = Job("b" * 32, "headwater-filters", "RESTARTING", 2, 0)
    with pytest.raises(SubmissionError, match="RESTARTING"):
        submitter.wait_until_running("b" * 32, 0)


def test_a_registry_that_is_away_is_waited_for_before_the_first_plan(
    keeper: Keeper, submitter: Submitter, settings: FlinkSettings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a plan nothing can run, so the keeper asks again until there is one."""
    answers: list[Exception | None] = [RegistryUnreachableError("away"), RegistryUnreachableError("away"), None]

    def prepare(stop: Event | None = None) -> str:
        if (answer := answers.pop(0)) is not None:
            raise answer
        return compiled(submitter, settings)

    monkeypatch.setattr("flink_jobs.keeper._REGISTRY_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(submitter, "prepare", prepare)
    keeper.choose(Event())
    keeper.look()
    assert answers == []
    assert len(cluster.accepted) == 1


def test_a_keeper_that_waits_for_a_registry_can_be_stopped(
    keeper: Keeper, submitter: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM ends the waiting."""

    def prepare(stop: Event | None = None) -> str:
        raise RegistryUnreachableError("away")

    monkeypatch.setattr(submitter, "prepare", prepare)
    stop = Event()
    stop.set()
    with pytest.raises(StoppedError):
        keeper.choose(stop)


def test_a_schema_that_is_refused_leaves_the_last_good_plan_running(
    keeper: Keeper, submitter: Submitter, settings: FlinkSettings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an earlier plan that one runs on; without one the keeper ends with the reason."""

    def prepare(stop: Event | None = None) -> str:
        raise IncompatibleSchemaError("t-value", "field id")

    monkeypatch.setattr(submitter, "prepare", prepare)
    with pytest.raises(IncompatibleSchemaError, match="t-value does not take the schema"):
        keeper.choose(Event())
    submitter.plans.make_current(compiled(submitter, settings))
    keeper.choose(Event())
    keeper.look()
    assert len(cluster.accepted) == 1
