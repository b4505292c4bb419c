"""`submit` on a real cluster: it waits for a running job, says why there is none, and never makes two."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import schemas

Record = Callable[..., bytes]
Wait = Callable[..., Any]

CARS = "filtered-car-created-events"
BASES = tuple(topic.name.removesuffix("-flink") for topic in schemas.topics() if topic.name.startswith("filtered-"))


def test_submit_returns_when_all_of_the_job_runs_and_a_second_one_changes_nothing(stage: Any) -> None:
    """Exit 0 means that every task runs; the same filters again are the same job (FL-58)."""
    stage.create_topics(*BASES)
    first = stage.run("submit")
    assert first.returncode == 0, first.stderr
    (job,) = stage.jobs()
    assert job.runs_whole
    assert job.id in first.stdout
    assert stage.run("submit").returncode == 0
    assert [each.id for each in stage.jobs()] == [job.id]


def test_sql_that_flink_refuses_is_an_error_with_its_cause(stage: Any) -> None:
    """Exit 1 before anything is sent, here because the Kafka connector is not there (FL-58)."""
    done = stage.run("submit", FLINK_CONNECTOR_JARS="")
    assert done.returncode == 1
    assert "Flink refuses the job: Could not find any factory for identifier 'kafka'" in done.stderr
    assert "Traceback" not in done.stderr
    assert stage.jobs() == []


def test_a_job_that_cannot_run_is_an_error_with_its_root_cause(stage: Any) -> None:
    """Exit 1 within the time given: the raw topic is missing (FL-58)."""
    done = stage.run("submit", "--timeout", "8")
    assert done.returncode == 1
    assert "UnknownTopicOrPartitionException" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_filter_is_told_before_anything_starts(stage: Any) -> None:
    """Exit 1 with the JSON path (FL-70)."""
    stage.use({"version": 1, "filters": [{"id": "x"}]})
    done = stage.run("submit")
    assert done.returncode == 1
    assert "$.filters[0].name" in done.stderr


def test_a_cluster_that_is_not_there_is_waited_for_only_as_long_as_told(stage: Any) -> None:
    """Exit 1 names the address; the plan is kept for the next time."""
    done = stage.run("submit", "--wait-for-cluster", "0.2", FLINK_REST_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "no answer from Flink at http://127.0.0.1:9" in done.stderr
    assert list((stage.folder / "plans").glob("*/plan.json"))


def test_changed_filters_take_the_place_of_the_job_and_lose_nothing(
    stage: Any, record: Record, wait_for: Wait, tmp_path: Path
) -> None:
    """The new job goes on where the old one was: old records are not read again, and none between is missing."""
    stage.create_topics(*BASES, "filtered-updates")
    stage.submit()
    stage.produce([record("before")])
    wait_for(lambda: stage.ids(stage.filtered(CARS)) == ["before"], "the first job routes")
    document = json.loads(schemas.filters_path().read_text())
    condition = {"field": "__op", "operator": "equals", "value": "u"}
    added = {**document["filters"][0], "id": "updates", "outputTopic": "filtered-updates", "conditions": [condition]}
    stage.use({**document, "filters": [*document["filters"], added]})
    stage.produce([record("updated", __op="u")])
    stage.submit()
    stage.produce([record("after"), record("updated-after", __op="u")])
    wait_for(lambda: "updated-after" in stage.ids(stage.filtered("filtered-updates")), "the second job routes")
    wait_for(lambda: "after" in stage.ids(stage.filtered(CARS)), "by the old filters too")
    # Each id is a key, and may have a partition of its own: no order between them.
    assert sorted(stage.ids(stage.filtered(CARS))) == ["after", "before"]
    states = sorted(job.state for job in stage.jobs())
    assert states == ["FINISHED", "RUNNING"]
