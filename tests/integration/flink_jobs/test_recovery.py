"""`kill -9` of each part in turn while records flow: the job comes back by itself and no record is missing."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import schemas
from stack.local import LocalStack

Record = Callable[..., bytes]
Wait = Callable[..., Any]

CARS = "filtered-car-created-events"
BASES = tuple(topic.name.removesuffix("-flink") for topic in schemas.topics() if topic.name.startswith("filtered-"))


@contextmanager
def flow(stage: Any, record: Record) -> Iterator[list[str]]:
    """Write twenty records a second for as long as the block runs; give the ids that the broker has."""
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.05):
            event_id = f"flow-{len(written)}"
            stage.produce([record(event_id)], key=event_id.encode())
            written.append(event_id)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


def kill(stack: LocalStack, name: str) -> None:
    """Kill a service of the stack; its supervisor starts it again."""
    os.kill(stack.processes()[name].pid, signal.SIGKILL)


def routed(stage: Any) -> list[str]:
    """Return the ids that came out."""
    found: list[str] = stage.ids(stage.filtered(CARS))
    return found


@pytest.mark.parametrize("victim", ["flink-taskmanager", "flink-jobmanager"])
def test_a_killed_flink_process_costs_no_record(
    stage: Any, local_stack: LocalStack, record: Record, wait_for: Wait, victim: str
) -> None:
    """The job goes on from its newest checkpoint, one job only, and every record comes out (FL-47, CD-110)."""
    stage.create_topics(*BASES)
    with stage.keeping():
        wait_for(stage.whole, "the keeper has submitted the job")
        with flow(stage, record) as written:
            wait_for(lambda: len(routed(stage)) > 30, "records come out")
            wait_for(lambda: list((stage.folder / "checkpoints").glob("*/chk-*/_metadata")), "a checkpoint is complete")
            kill(local_stack, victim)
            seen = len(written)
            wait_for(lambda: len(written) > seen + 60, "records are written meanwhile")
        wait_for(lambda: set(written) <= set(routed(stage)), "every record has come out", 90)
        job = wait_for(stage.whole, "the job runs")
        assert [each.id for each in stage.jobs() if not each.ended] == [job.id]
        if victim == "flink-jobmanager":
            # Started from a checkpoint: the first records were not read a second time.
            assert routed(stage).count("flow-0") == 1


def test_a_killed_keeper_comes_back_and_finds_its_job(stage: Any, record: Record, wait_for: Wait) -> None:
    """A keeper that starts while the job runs leaves it alone, whatever the filter file says by then."""
    stage.create_topics(*BASES)
    with stage.keeping() as keeper:
        job = wait_for(stage.whole, "the job runs")
        keeper.process.kill()
        keeper.process.wait()
    stage.use({"version": 2, "filters": []})
    with stage.keeping() as again:
        wait_for(lambda: again.has_seen(job.id), "it has looked")
        stage.produce([record("later")])
        wait_for(lambda: routed(stage) == ["later"], "the job goes on")
        again.process.terminate()
        assert again.process.wait(10) == 0
    assert [each.id for each in stage.jobs()] == [job.id]


def test_a_job_that_was_cancelled_stays_cancelled(stage: Any, wait_for: Wait) -> None:
    """The keeper brings back what died, not what somebody ended; `submit` starts it again."""
    stage.create_topics(*BASES)
    with stage.keeping() as keeper:
        wait_for(stage.whole, "the job runs")
        stage.stop()
        wait_for(lambda: any("job_ended" in line for line in keeper.log), "the keeper has seen the end")
        assert [job.state for job in stage.jobs()] == ["CANCELED"]
        stage.submit()
        assert sorted(job.state for job in stage.jobs()) == ["CANCELED", "RUNNING"]
