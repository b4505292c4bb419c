"""How the job comes back, and stays one: submitter and keeper against a cluster that is a list in memory."""

import json
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from flink_jobs.cluster.keeper import Keeper
from flink_jobs.cluster.ledger import Submission
from flink_jobs.cluster.registry import IncompatibleSchemaError, RegistryUnreachableError
from flink_jobs.cluster.rest import CompletedCheckpoint
from flink_jobs.cluster.submission import Submitter
from flink_jobs.compiling import StoppedError
from flink_jobs.filters import FilterError, load_filters
from flink_jobs.plan import blueprint
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import statements


@pytest.fixture
def keeper(settings: FlinkSettings, cluster: Any, submitter: Submitter) -> Keeper:
    """A keeper that has chosen its plan."""
    made = Keeper(settings, cluster, submitter)  # type: ignore[arg-type]
    made.choose(Event())
    return made


def test_the_first_start_has_no_checkpoint(keeper: Keeper, cluster: Any) -> None:
    """A missing job is submitted once, and then it is there."""
    for _ in range(3):
        keeper.look()
    assert cluster.started_from() == [None]


def test_a_job_that_died_with_its_jobmanager_comes_back_from_its_newest_checkpoint(
    keeper: Keeper, cluster: Any, checkpoint: Callable[..., str]
) -> None:
    """Under a new id, from the newest complete checkpoint of ours (design: retained checkpoints)."""
    keeper.look()
    job = cluster.accepted[0][0]
    checkpoint(job, 3)
    newest = checkpoint(job, 4)
    checkpoint("of-somebody-else", 9)
    cluster.die()
    keeper.look()
    assert cluster.started_from() == [None, newest]
    assert cluster.accepted[1][0] != job


def test_the_last_thing_a_keeper_does_is_a_checkpoint(keeper: Keeper, cluster: Any) -> None:
    """What the cluster has read by then is not read again after the next start; without a cluster it just ends."""
    keeper.look()
    stopped = Event()
    stopped.set()
    keeper.run(stopped)
    assert list(cluster.checkpoints) == [cluster.accepted[0][0]]
    cluster.reachable = False
    keeper.run(stopped)


def test_there_is_one_job_however_many_submit(
    settings: FlinkSettings, submitter: Submitter, keeper: Keeper, cluster: Any
) -> None:
    """A second submitter finds the job of the first, also when it is another process."""
    keeper.look()
    digest = submitter.plans.current
    assert digest is not None
    other = Submitter(settings, cluster)  # type: ignore[arg-type]
    assert other.submit_if_missing(digest).id == cluster.accepted[0][0]
    assert other.deploy(digest, 5).id == cluster.accepted[0][0]
    assert len(cluster.accepted) == 1


def test_a_lost_answer_makes_no_second_job(keeper: Keeper, cluster: Any) -> None:
    """The cluster took the job, nobody was told: the next look finds it."""
    cluster.loses_answers = True
    for _ in range(3):
        keeper.look()
    assert len(cluster.accepted) == 1


def test_the_same_moment_gives_the_same_id(settings: FlinkSettings, submitter: Submitter, cluster: Any) -> None:
    """Two that see no job choose one id, so that the cluster can refuse the second."""
    digest = submitter.planner.prepare()
    submitter.submit_if_missing(digest)
    ((first, _),) = cluster.accepted
    cluster.known.clear()  # not listed yet
    submitter.submit_if_missing(digest)
    assert [job_id for job_id, _ in cluster.accepted] == [first, first]


@pytest.mark.parametrize("state", ["CANCELED", "FINISHED"])
def test_a_job_that_somebody_ended_stays_ended(keeper: Keeper, cluster: Any, state: str) -> None:
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


def test_a_failed_job_is_submitted_again_under_another_id(keeper: Keeper, cluster: Any) -> None:
    """The cluster refuses the id of a job that has ended."""
    keeper.look()
    cluster.end(cluster.accepted[0][0], "FAILED")
    keeper.look()
    assert len({job_id for job_id, _ in cluster.accepted}) == 2


def test_a_checkpoint_that_cannot_be_started_from_is_set_aside(
    keeper: Keeper, cluster: Any, checkpoint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before it serves, and then none; the offsets of the group are there for that."""
    monkeypatch.setattr("flink_jobs.cluster.keeper._LONGEST_PAUSE_SECONDS", 0)
    keeper.look()
    older, newest = (checkpoint(cluster.accepted[0][0], number) for number in (3, 4))
    cluster.die()
    cluster.on_submit = "FAILED"
    for _ in range(3):
        keeper.look()
    assert cluster.started_from() == [None, newest, older, None]


def test_an_unreachable_cluster_is_waited_for(keeper: Keeper, cluster: Any) -> None:
    """Nothing is raised, nothing is submitted, and the job comes when the cluster does."""
    cluster.reachable = False
    keeper.look()
    cluster.reachable = True
    keeper.look()
    assert len(cluster.accepted) == 1


def test_old_checkpoints_go_once_the_job_has_its_own(
    keeper: Keeper, cluster: Any, checkpoint: Callable[..., str], settings: FlinkSettings
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
    keeper: Keeper, cluster: Any, submitter: Submitter, settings: FlinkSettings
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


def test_a_restart_brings_back_what_was_deployed_and_never_an_edit(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, keeper: Keeper, compiled: Callable[..., str]
) -> None:
    """Whatever the file says now, wrong or right; only a first start reads it (FL-35)."""
    keeper.look()
    ran = submitter.plans.current
    document = {"version": 2, "filters": [_filter("added")]}
    settings.filters_file.write_text(json.dumps(document))
    other = compiled(_digest(settings))
    cluster.die()
    again = Keeper(settings, cluster, submitter)  # type: ignore[arg-type]
    again.choose(Event())
    again.look()
    assert [entry.digest for entry in submitter.ledger.submissions()] == [ran, ran]
    assert ran != other


def test_what_was_deployed_is_compiled_anew_where_settings_have_changed(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, compiled: Callable[..., str]
) -> None:
    """The same filters under another broker are another plan, made from the record and not from the file."""
    settings.filters_file.write_text(json.dumps({"version": 1, "filters": [_filter("deployed")]}))
    compiled(_digest(settings))
    submitter.deploy(submitter.planner.prepare(), 5)
    moved = settings.model_copy(update={"kafka_bootstrap_servers": "broker:2"})
    there = Submitter(moved, cluster)  # type: ignore[arg-type]
    expected = compiled(_digest(moved))
    settings.filters_file.write_text(json.dumps({"version": 1, "filters": [_filter("edited")]}))
    assert there.planner.prepare_deployed() == expected


def _digest(settings: FlinkSettings) -> str:
    return blueprint(settings, statements(load_filters(settings.filters_file), settings.places)).digest


def _filter(name: str) -> dict[str, object]:
    condition = {"field": "event_type", "operator": "equals", "value": name}
    names = {"id": name, "name": name, "consumerId": name, "outputTopic": name}
    return {**names, "enabled": True, "conditions": [condition]}


def test_a_wrong_filter_file_leaves_the_last_good_plan_running(
    settings: FlinkSettings, cluster: Any, submitter: Submitter, keeper: Keeper
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
    settings: FlinkSettings, submitter: Submitter, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens then, the checkpoints of that job are known to be ours."""
    seen: list[list[Submission]] = []
    monkeypatch.setattr(cluster, "submit", lambda *_: seen.append(submitter.ledger.submissions()))
    submitter.submit_if_missing(submitter.planner.prepare())
    assert [len(entries) for entries in seen] == [1]


def test_a_registry_that_is_away_is_waited_for_before_the_first_plan(
    keeper: Keeper,
    submitter: Submitter,
    settings: FlinkSettings,
    cluster: Any,
    compiled: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a plan nothing can run, so the keeper asks again until there is one."""
    answers: list[Exception | None] = [RegistryUnreachableError("away"), RegistryUnreachableError("away"), None]

    def prepare(stop: Event | None = None) -> str:
        if (answer := answers.pop(0)) is not None:
            raise answer
        return compiled(_digest(settings))

    monkeypatch.setattr("flink_jobs.cluster.keeper._REGISTRY_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(submitter.planner, "prepare_deployed", prepare)
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

    monkeypatch.setattr(submitter.planner, "prepare_deployed", prepare)
    stop = Event()
    stop.set()
    with pytest.raises(StoppedError):
        keeper.choose(stop)


def test_a_schema_that_is_refused_leaves_the_last_good_plan_running(
    keeper: Keeper,
    submitter: Submitter,
    settings: FlinkSettings,
    cluster: Any,
    compiled: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an earlier plan that one runs on; without one the keeper ends with the reason."""

    def prepare(stop: Event | None = None) -> str:
        raise IncompatibleSchemaError("t-value", "field id")

    monkeypatch.setattr(submitter.planner, "prepare_deployed", prepare)
    with pytest.raises(IncompatibleSchemaError, match="t-value does not take the schema"):
        keeper.choose(Event())
    submitter.plans.make_current(compiled(_digest(settings)))
    keeper.choose(Event())
    keeper.look()
    assert len(cluster.accepted) == 1
