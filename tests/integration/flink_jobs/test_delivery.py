"""What comes out, counted, while processes are killed and jobs replaced under a steady stream (FL-47, FL-73, FL-74)."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import schemas
from stack.local import LocalStack

Wait = Callable[..., Any]
Flowing = Callable[..., Any]

CARS = "filtered-car-created-events"
BASES = tuple(topic.name.removesuffix("-flink") for topic in schemas.topics() if topic.name.startswith("filtered-"))
ONCE, AT_LEAST_ONCE = "exactly-once", "at-least-once"
MODES = pytest.mark.parametrize("mode", [ONCE, AT_LEAST_ONCE])


def ids(stage: Any, base: str = CARS) -> list[str]:
    """Return the ids that a read-committed reader finds in a filtered topic."""
    return [json.loads(message.value())["id"] for message in stage.committed(stage.filtered(base))]


def repeated(found: list[Any]) -> list[Any]:
    """Return what was found more than once."""
    return [each for each, count in Counter(found).items() if count > 1]


def more(written: list[str], count: int) -> Callable[[], bool]:
    """Ask whether so many more are written than now."""
    goal = len(written) + count
    return lambda: len(written) >= goal


def kill(stack: LocalStack, name: str) -> None:
    """Kill a service of the stack; its supervisor starts it again."""
    os.kill(stack.processes()[name].pid, signal.SIGKILL)


def filters_with(value: str) -> dict[str, Any]:
    """Return the shipped filters and one more, which differs by a value."""
    document: dict[str, Any] = json.loads(schemas.filters_path().read_text())
    condition = {"field": "event_name", "operator": "equals", "value": value}
    added = {**document["filters"][0], "id": "added", "outputTopic": "filtered-added", "conditions": [condition]}
    return {**document, "filters": [*document["filters"], added]}


@MODES
@pytest.mark.parametrize("victim", ["flink-taskmanager", "flink-jobmanager"])
def test_a_kill_loses_nothing_and_with_exactly_once_repeats_nothing(
    stage: Any, local_stack: LocalStack, flowing: Flowing, wait_for: Wait, mode: str, victim: str
) -> None:
    """Filtered records and dead letters alike, as a read-committed reader sees them (FL-47).

    A JobManager that dies takes the job with it: the next one starts from a checkpoint whose transactions are committed
    already, while tasks of the old one may still hold open ones.
    """
    stage.settings["FLINK_DELIVERY"] = mode
    stage.create_topics(*BASES)
    with stage.keeping():
        wait_for(stage.whole, "the job runs")
        with flowing(stage, every=10) as (good, bad):
            wait_for(lambda: len(ids(stage)) > 300, "records come out")
            kill(local_stack, victim)
            wait_for(more(good, 500), "records are written meanwhile")
        wait_for(lambda: set(good) <= set(ids(stage)), "every record has come out", 120)
        wait_for(lambda: len({m.value() for m in stage.committed(stage.dead)}) >= len(bad), "every dead letter too", 60)
    assert {message.value() for message in stage.committed(stage.dead)} == set(bad)
    assert set(ids(stage)) == set(good)
    if mode == ONCE:
        assert repeated(ids(stage)) == []
        assert repeated([message.value() for message in stage.committed(stage.dead)]) == []


@MODES
def test_replacing_a_job_loses_nothing_and_repeats_nothing(
    stage: Any, flowing: Flowing, wait_for: Wait, mode: str
) -> None:
    """The new filters go on exactly where the old ones stopped, in both modes (FL-73)."""
    stage.settings["FLINK_DELIVERY"] = mode
    stage.create_topics(*BASES, "filtered-added")
    stage.submit()
    with flowing(stage) as (good, _):
        for value in ("first", "second"):
            wait_for(more(good, 200), "records are written")
            stage.use(filters_with(value))
            stage.submit()
        wait_for(more(good, 200), "records are written")
    wait_for(lambda: set(good) <= set(ids(stage)), "every record has come out")
    assert sorted(ids(stage)) == sorted(good)
    assert sorted(job.state for job in stage.jobs()) == ["FINISHED", "FINISHED", "RUNNING"]


def test_the_mode_and_the_parallelism_change_under_the_stream(stage: Any, flowing: Flowing, wait_for: Wait) -> None:
    """From one to the other and back, and to fewer tasks and more: nothing is lost or repeated (FL-73)."""
    stage.create_topics(*BASES)
    stage.submit()
    with flowing(stage) as (good, _):
        for mode, tasks in ((ONCE, "2"), (ONCE, "1"), (ONCE, "2"), (AT_LEAST_ONCE, "2")):
            wait_for(more(good, 100), "records are written")
            done = stage.run("submit", FLINK_DELIVERY=mode, FLINK_PARALLELISM=tasks)
            assert done.returncode == 0, done.stderr
        wait_for(more(good, 100), "records are written")
    wait_for(lambda: set(good) <= set(ids(stage)), "every record has come out")
    assert sorted(ids(stage)) == sorted(good)


@MODES
def test_a_replacement_that_does_not_run_leaves_the_old_job_running(
    stage: Any, flowing: Flowing, wait_for: Wait, mode: str
) -> None:
    """Exit 1 with Flink's cause, the old filters go on, nothing is missing, and exactly-once holds (FL-74)."""
    stage.settings["FLINK_DELIVERY"] = mode
    stage.create_topics(*BASES)
    stage.submit()
    with flowing(stage) as (good, _):
        wait_for(more(good, 200), "records are written")
        done = stage.run("submit", CDC_TOPIC=f"{stage.raw}-that-is-not-there")
        assert done.returncode == 1
        assert "UnknownTopicOrPartitionException" in done.stderr
        assert "what ran before runs on" in done.stderr
        wait_for(more(good, 200), "records are written")
    wait_for(lambda: set(good) <= set(ids(stage)), "every record has come out")
    assert set(ids(stage)) == set(good)
    assert stage.whole() is not None
    if mode == ONCE:
        assert repeated(ids(stage)) == []


def test_an_orderly_stop_leaves_no_transaction_open(stage: Any, flowing: Flowing, wait_for: Wait) -> None:
    """The keeper suspends the job, all that was read is committed, and the next keeper goes on from there (FL-47)."""
    stage.settings["FLINK_DELIVERY"] = ONCE
    stage.create_topics(*BASES)
    with flowing(stage) as (good, _):
        for _turn in range(2):
            with stage.keeping() as keeper:
                wait_for(stage.whole, "the job runs")
                wait_for(more(good, 200), "records are written")
                keeper.process.terminate()
                keeper.process.wait(30)
            assert stage.jobs()[0].state == "FINISHED"
    with stage.keeping():
        wait_for(lambda: set(good) <= set(ids(stage)), "every record has come out")
    assert sorted(ids(stage)) == sorted(good)
