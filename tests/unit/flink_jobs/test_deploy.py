"""How one job takes the place of another, and comes back when the new one does not run (FL-73, FL-74)."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from flink_jobs.cluster.ending import SubmissionError
from flink_jobs.cluster.keeper import Keeper
from flink_jobs.cluster.lock import BusyError
from flink_jobs.cluster.rest import CompletedCheckpoint, FlinkError, FlinkUnreachableError, Job
from flink_jobs.cluster.submission import Submitter
from flink_jobs.cluster.waiting import wait_until_running
from flink_jobs.plan import PlanError
from flink_jobs.settings import FlinkSettings

Compiled = Callable[..., str]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that runs has run long enough."""
    monkeypatch.setattr("flink_jobs.cluster.waiting._STEADY_SECONDS", 0)
    monkeypatch.setattr("flink_jobs.cluster.ending._WHOLE_SECONDS", 0)


@pytest.fixture
def first(submitter: Submitter, compiled: Compiled) -> str:
    """A job of the plan `first` runs; its id."""
    return submitter.deploy(compiled("first"), 5).id


@pytest.fixture
def keeper(settings: FlinkSettings, cluster: Any, submitter: Submitter) -> Keeper:
    """A keeper beside the submitter, as another process is: with a submitter of its own."""
    return Keeper(settings, cluster, Submitter(settings, cluster))  # type: ignore[arg-type]


def savepoint_of(settings: FlinkSettings, job_id: str) -> str:
    """Return the savepoint that a job of the fake stopped with."""
    (found,) = (settings.flink_savepoint_dir / job_id).iterdir()
    return f"file://{found}"


def test_a_new_plan_starts_from_the_savepoint_of_the_old(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, compiled: Compiled, first: str
) -> None:
    """The old job has stopped before the new one starts where it stopped (FL-73)."""
    job = submitter.deploy(compiled("second"), 5)
    assert cluster.known[first].state == "FINISHED"
    assert cluster.started_from() == [None, savepoint_of(settings, first)]
    assert job.id != first
    assert submitter.plans.current == "second"


def test_the_same_plan_again_changes_nothing(cluster: Any, submitter: Submitter, first: str) -> None:
    """The job that runs is the answer."""
    assert submitter.deploy("first", 5).id == first
    assert len(cluster.accepted) == 1


def test_without_a_savepoint_the_old_job_ends_after_a_last_checkpoint(
    cluster: Any, submitter: Submitter, compiled: Compiled, first: str, checkpoint: Callable[..., str]
) -> None:
    """A job that cannot stop in order makes room all the same, and the new one starts from its newest checkpoint."""
    cluster.refuses_savepoints = True
    newest = checkpoint(first, 99)
    submitter.deploy(compiled("second"), 5)
    assert cluster.known[first].state == "CANCELED"
    assert cluster.checkpoints[first].number == 99
    assert cluster.started_from() == [None, newest]


def test_a_plan_that_is_not_there_stops_nothing(cluster: Any, submitter: Submitter, first: str) -> None:
    """It is looked for before anything is done (FL-74)."""
    with pytest.raises(PlanError):
        submitter.deploy("never-compiled", 5)
    assert cluster.known[first].state == "RUNNING"


@pytest.mark.parametrize("outcome", ["FAILED", "RESTARTING"])
def test_a_new_plan_that_does_not_run_makes_way_for_the_old(
    settings: FlinkSettings,
    cluster: Any,
    submitter: Submitter,
    compiled: Compiled,
    first: str,
    outcome: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What ran runs on, from where it stopped; the error has Flink's cause, long before the timeout (FL-74)."""
    monkeypatch.setattr("flink_jobs.cluster.submission._PATIENCE_SECONDS", 0.1)
    cluster.outcomes = [outcome]
    with pytest.raises(SubmissionError, match="it broke; what ran before runs on, as job"):
        submitter.deploy(compiled("second"), 60)
    start = savepoint_of(settings, first)
    assert cluster.started_from() == [None, start, start]
    running = submitter.look().alive
    assert running is not None
    assert submitter.ledger.find(running.id).digest == "first"  # type: ignore[union-attr]
    assert submitter.plans.current == "first"
    assert len({job_id for job_id, _ in cluster.accepted}) == 3


def test_what_the_new_job_has_done_is_not_done_again_by_the_old(
    cluster: Any, submitter: Submitter, compiled: Compiled, first: str, checkpoint: Callable[..., str]
) -> None:
    """A new job that took a checkpoint before it failed has moved on; the old plan goes on from there."""
    made: list[str] = []
    submit = cluster.submit

    def submit_and_work(plan: bytes, jars: dict[str, bytes]) -> str:
        job_id: str = submit(plan, jars)
        if cluster.known[job_id].state == "FAILED":
            made.append(checkpoint(job_id, 2**62))
            cluster.known[job_id] = Job(job_id, "headwater-filters", "RESTARTING", 2, 0)
        return job_id

    cluster.submit = submit_and_work
    cluster.outcomes = ["FAILED"]
    with pytest.raises(SubmissionError, match="runs on"):
        submitter.deploy(compiled("second"), 0)
    assert cluster.started_from()[-1] == made[0]
    assert first


def test_a_first_plan_that_does_not_run_leaves_nothing_behind(
    cluster: Any, submitter: Submitter, compiled: Compiled
) -> None:
    """There is nothing to put back, and a job that restarts for ever would take the place of the next try."""
    cluster.outcomes = ["RESTARTING"]
    with pytest.raises(SubmissionError, match="nothing ran before it"):
        submitter.deploy(compiled("first"), 0)
    assert submitter.look().alive is None
    assert submitter.plans.current is None


def test_a_job_is_restored_from_where_it_is_told(
    settings: FlinkSettings,
    cluster: Any,
    submitter: Submitter,
    first: str,
    tmp_path: Path,
    keeper: Keeper,
) -> None:
    """Also the plan that runs; and if its JobManager dies before its first checkpoint, it comes back from there."""
    told = tmp_path / "kept"
    told.mkdir()
    (told / "_metadata").write_bytes(b"x")
    submitter.deploy("first", 5, f"file://{told}")
    assert cluster.started_from() == [None, f"file://{told}"]
    cluster.die()
    keeper.look()
    assert cluster.started_from()[-1] == f"file://{told}"
    assert savepoint_of(settings, first)


def test_a_restore_that_fails_goes_back_to_where_the_old_job_stopped(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, first: str
) -> None:
    """And not to the path that has just proved unusable (FL-74)."""
    cluster.outcomes = ["FAILED"]
    with pytest.raises(SubmissionError, match="runs on"):
        submitter.deploy("first", 5, "file:///no/such/savepoint")
    assert cluster.started_from() == [None, "file:///no/such/savepoint", savepoint_of(settings, first)]


def test_a_keeper_does_not_meddle_with_a_deploy(
    cluster: Any, submitter: Submitter, compiled: Compiled, first: str, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between stop and submit no job is there, and it is the submitter's to bring the next."""
    submit = cluster.submit

    def look_first(plan: bytes, jars: dict[str, bytes]) -> str:
        keeper.look()
        keeper.look()
        return str(submit(plan, jars))

    monkeypatch.setattr(cluster, "submit", look_first)
    submitter.deploy(compiled("second"), 5)
    assert [job.state for job in cluster.known.values()] == ["FINISHED", "RUNNING"]
    assert first


def test_a_keeper_does_not_judge_a_job_that_a_deploy_is_trying(
    cluster: Any, submitter: Submitter, compiled: Compiled, first: str, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new job that fails is the submitter's to end; the savepoint it started from is as good as before."""
    failure = cluster.failure

    def look_first(job_id: str) -> str:
        keeper.look()
        return str(failure(job_id))

    monkeypatch.setattr(cluster, "failure", look_first)
    cluster.outcomes = ["FAILED"]
    with pytest.raises(SubmissionError, match="runs on"):
        submitter.deploy(compiled("second"), 5)
    assert keeper._unusable == frozenset()
    assert first


def test_a_keeper_goes_on_where_a_submitter_died(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, compiled: Compiled, first: str, keeper: Keeper
) -> None:
    """The old job had been stopped, the new one was not there: the old plan runs on, from the savepoint."""
    cluster.dies_when_stopped = True
    with pytest.raises(KeyboardInterrupt):
        submitter.deploy(compiled("second"), 5)
    assert submitter.look().alive is None
    keeper.look()
    assert cluster.started_from() == [None, savepoint_of(settings, first)]
    running = submitter.look().alive
    assert running is not None
    assert submitter.ledger.find(running.id).digest == "first"  # type: ignore[union-attr]


def test_a_keeper_takes_what_runs_for_what_is_to_run(
    cluster: Any, submitter: Submitter, compiled: Compiled, first: str, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submitter that died after the new job ran leaves it behind as the one that comes back."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flink_jobs.cluster.submission.wait_until_running", die)
    with pytest.raises(KeyboardInterrupt):
        submitter.deploy(compiled("second"), 5)
    assert submitter.plans.current == "first"
    keeper.look()
    assert submitter.plans.current == "second"
    assert first


def test_a_job_that_was_stopped_stays_ended_and_starts_again_where_it_stopped(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, first: str, keeper: Keeper
) -> None:
    """The keeper leaves it, the next submission goes on from its savepoint."""
    running = submitter.look().alive
    assert running is not None
    savepoint = submitter.ending.stop(running)
    assert savepoint == savepoint_of(settings, first)
    keeper.look()
    assert submitter.look().alive is None
    submitter.deploy("first", 5)
    assert cluster.started_from() == [None, savepoint]


def test_a_job_without_a_savepoint_is_not_stopped(cluster: Any, submitter: Submitter, first: str) -> None:
    """Who asked for an end with a savepoint gets the reason, and the job runs on."""
    cluster.refuses_savepoints = True
    running = submitter.look().alive
    assert running is not None
    with pytest.raises(FlinkError, match="not being executed"):
        submitter.ending.stop(running)
    assert cluster.known[first].state == "RUNNING"


def test_a_job_that_somebody_else_submitted_makes_room_as_well(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, compiled: Compiled
) -> None:
    """One of `flink run` has our name and an id that we do not know; what it leaves on disk is ours to tidy."""
    foreign = "f" * 32
    cluster.known[foreign] = Job(foreign, "headwater-filters", "RUNNING", 2, 2)
    submitter.deploy(compiled("first"), 5)
    assert cluster.started_from() == [savepoint_of(settings, foreign)]
    assert foreign in submitter.ledger.job_ids()


def test_old_savepoints_go_once_the_job_has_a_checkpoint_of_its_own(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, compiled: Compiled, first: str, keeper: Keeper
) -> None:
    """Not before: until then the savepoint is all there is. What a user asked for lies elsewhere and stays."""
    kept = settings.flink_savepoint_dir / "savepoint-abcdef-0123456789ab"
    kept.mkdir(parents=True)
    job = submitter.deploy(compiled("second"), 5)
    keeper.look()
    assert (settings.flink_savepoint_dir / first).exists()
    cluster.checkpoints[job.id] = CompletedCheckpoint(1, "file:///x", 0)
    keeper.look()
    assert not (settings.flink_savepoint_dir / first).exists()
    assert kept.exists()


def test_one_submitter_at_a_time(submitter: Submitter, settings: FlinkSettings, cluster: Any, first: str) -> None:
    """The second does not wait where it must not, and finds the job of the first afterwards."""
    other = Submitter(settings, cluster)  # type: ignore[arg-type]
    with submitter.alone(), pytest.raises(BusyError):
        other.submit_if_missing("first")
    assert other.submit_if_missing("first").id == first


def test_a_cluster_that_dies_in_a_deploy_gets_the_old_plan_back(
    cluster: Any, submitter: Submitter, compiled: Compiled, first: str, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it had stopped is not known; the keeper brings back what ran when the cluster answers again."""

    def vanish(*_: object) -> str:
        cluster.die()
        raise FlinkUnreachableError("no answer")

    monkeypatch.setattr(cluster, "stop", vanish)
    with pytest.raises(FlinkUnreachableError):
        submitter.deploy(compiled("second"), 5)
    keeper.choose(Event())
    keeper._wanted = None
    keeper.look()
    running = submitter.look().alive
    assert running is not None
    assert submitter.ledger.find(running.id).digest == "first"  # type: ignore[union-attr]
    assert first


def test_transactions_are_not_left_behind(
    cluster: Any, submitter: Submitter, compiled: Compiled, checkpoint: Callable[..., str]
) -> None:
    """A job without transactions cannot commit those of a checkpoint: refused, and the old job runs on (FL-47)."""
    once = submitter.deploy(compiled("once", transactional=True), 5).id
    newest = checkpoint(once, 99)
    cluster.refuses_savepoints = True
    with pytest.raises(SubmissionError, match=r"FLINK_DELIVERY=exactly-once.*runs on"):
        submitter.deploy(compiled("plain"), 5)
    assert cluster.started_from() == [None, newest]
    cluster.refuses_savepoints = False
    submitter.deploy("plain", 5)
    assert submitter.plans.current == "plain"


def test_a_keeper_that_is_to_leave_transactions_behind_takes_the_last_good_plan(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, compiled: Compiled, checkpoint: Callable[..., str]
) -> None:
    """It was told of the other mode after a crash: what is open is committed first (FL-47)."""
    once = submitter.deploy(compiled("once", transactional=True), 5).id
    newest = checkpoint(once, 99)
    cluster.die()
    keeper = Keeper(settings, cluster, submitter)  # type: ignore[arg-type]
    keeper.choose(Event())
    for _ in range(2):
        keeper.look()
    assert [entry.digest for entry in submitter.ledger.submissions()] == ["once", "once"]
    assert cluster.started_from() == [None, newest]


def test_a_keeper_that_leaves_suspends_a_job_with_transactions(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, compiled: Compiled
) -> None:
    """None of them is open when the cluster stops, and the next keeper goes on in the same life of the cluster."""
    once = submitter.deploy(compiled("once", transactional=True), 5).id
    Keeper(settings, cluster, submitter).leave()  # type: ignore[arg-type]
    assert cluster.known[once].state == "FINISHED"
    again = Keeper(settings, cluster, submitter)  # type: ignore[arg-type]
    again.look()
    assert cluster.started_from() == [None, savepoint_of(settings, once)]


def test_a_job_that_does_not_run_is_told_with_its_cause(cluster: Any) -> None:
    """The message has the job, its state and Flink's root cause (FL-58)."""
    cluster.end("a" * 32, "FAILED")
    with pytest.raises(SubmissionError, match=r"a{32} does not run, it is FAILED: it broke"):
        wait_until_running(cluster, "a" * 32, 5)
    cluster.known["b" * 32] = Job("b" * 32, "headwater-filters", "RESTARTING", 2, 0)
    with pytest.raises(SubmissionError, match="RESTARTING"):
        wait_until_running(cluster, "b" * 32, 0)
