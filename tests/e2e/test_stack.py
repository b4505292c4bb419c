"""The `headwater` command, as a user meets it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import schemas
from stack.local import SERVICES
from stack.settings import StackSettings
from stack.sightings import end_offsets
from stack.state import State
from stack.supervision import leftovers
from tests.waiting import eventually

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Status = Callable[[], dict[str, Any]]


def test_a_running_stack_lists_its_six_services(running_stack: StackSettings, stack_status: Status) -> None:
    """Everything runs, each with a process id, and the addresses are told."""
    report = stack_status()
    assert report["state"] == "running"
    assert [service["name"] for service in report["services"]] == list(SERVICES)
    assert all(psutil.pid_exists(service["pid"]) for service in report["services"])
    assert report["endpoints"]["producer"] == running_stack.producer_url


def test_the_job_of_the_stack_is_told_saved_ended_and_started_again(
    running_stack: StackSettings, stack_status: Status, headwater: Run
) -> None:
    """`headwater flink` means the local stack unless told otherwise, and `status` has what the job does (FL-58)."""

    def job() -> dict[str, Any]:
        return next(each for each in stack_status()["jobs"] if each["state"] == "RUNNING")

    def answer(*arguments: str) -> dict[str, Any]:
        done = headwater("flink", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    eventually(lambda: job()["checkpoint"] is not None, "a checkpoint is told", 60)
    told = job()
    assert told["tasks"] == told["tasks_running"] > 0
    assert told["delivery"] == "at-least-once"
    assert answer("savepoint")["savepoint"].startswith(f"file:{running_stack.state_dir.resolve()}/flink/savepoints/")
    assert answer("cancel")["state"] == "FINISHED"
    assert stack_status()["state"] == "degraded"
    assert answer("submit")["state"] == "RUNNING"
    assert stack_status()["state"] == "running"


def test_the_guarantee_is_chosen_at_each_start(fresh_environment: dict[str, str]) -> None:
    """Each event arrives once with exactly-once; what its orderly stop has left, the other mode takes up (FL-47)."""
    for delivery in ("exactly-once", "at-least-once"):
        done = subprocess.run(
            [sys.executable, "-m", "stack", "demo", "--json", "--events", "40"],
            env=fresh_environment | {"HEADWATER_DELIVERY": delivery},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["ok"]


def test_the_whole_stack_fits_into_two_and_a_half_gigabytes(running_stack: StackSettings, stack_status: Status) -> None:
    """Resident memory of every process of the stack together."""
    assert 0 < stack_status()["memory_bytes"] < 2.5e9


def test_a_second_up_says_that_it_is_running(running_stack: StackSettings, headwater: Run) -> None:
    """It changes nothing and succeeds."""
    again = headwater("up", "-d")
    assert again.returncode == 0
    assert "already running" in again.stderr


def test_the_demonstration_delivers_every_event_exactly_once(running_stack: StackSettings, headwater: Run) -> None:
    """POST, transaction, write-ahead log, Kafka, Flink, filtered topic, consumer: nothing is lost or repeated."""
    done = headwater("demo", "--json", "--events", "80")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] is True
    assert (result["events"], result["delivered"]) == (80, 80)
    assert set(result["hops_ms"]) == {"post", "raw_topic", "filtered_topic", "consumer"}


def test_an_event_is_sent_from_a_file_and_an_array_from_standard_input(
    running_stack: StackSettings, headwater: Run, tmp_path: Path
) -> None:
    """A second send of the same event shows the API's 409 and fails."""
    event = schemas.samples()["car-created"]
    event["eventHeader"]["uuid"] = "7f9c2c1e-0d3b-4b0a-9a58-3a1d3b7f2a10"
    (tmp_path / "event.json").write_text(json.dumps(event))
    first = headwater("send", str(tmp_path / "event.json"))
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["event_id"] == event["eventHeader"]["uuid"]
    second = headwater("send", str(tmp_path / "event.json"))
    assert second.returncode == 1
    assert json.loads(second.stdout)["status"] == 409
    event["eventHeader"]["uuid"] = "7f9c2c1e-0d3b-4b0a-9a58-3a1d3b7f2a11"
    bulk = headwater("send", "-", text=json.dumps([event]))
    assert bulk.returncode == 0, bulk.stdout
    assert json.loads(bulk.stdout)["processedCount"] == 1


@pytest.mark.parametrize("text", ["not json", "{}", '{"eventHeader": {"eventName": "x"}, "entities": []}'])
def test_an_invalid_event_shows_the_answer_of_the_api(running_stack: StackSettings, headwater: Run, text: str) -> None:
    """The exit code is 1 and the contract's error body is printed."""
    refused = headwater("send", "-", text=text)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["status"] in (400, 422)


def test_the_log_of_each_service_can_be_read(running_stack: StackSettings, headwater: Run) -> None:
    """An unknown name lists the known ones."""
    assert "ready to accept connections" in headwater("logs", "postgres").stdout
    unknown = headwater("logs", "nosuch")
    assert unknown.returncode == 1
    assert "flink-taskmanager" in unknown.stderr


def test_a_second_engine_in_the_foreground_waits_for_the_slot(
    running_stack: StackSettings, stack_environment: dict[str, str]
) -> None:
    """`headwater cdc run` beside the stack's own engine is its standby, and ends in order."""
    standby = subprocess.Popen(
        [sys.executable, "-m", "stack", "cdc", "run"], env=stack_environment, stderr=subprocess.PIPE, text=True
    )
    assert standby.stderr is not None
    with standby.stderr:
        first = json.loads(standby.stderr.readline())
        assert (first["event"], first["kind"]) == ("retrying", "slot_active")
        standby.terminate()
        assert standby.wait(30) == 0


def test_what_was_sent_before_down_is_there_after_up_and_nothing_is_repeated(
    running_stack: StackSettings, headwater: Run
) -> None:
    """The slot, the topics and the job's checkpoint outlive a stop; `down` leaves no process behind."""
    before = _filtered_count(running_stack)
    stopped = headwater("down")
    assert stopped.returncode == 0, stopped.stderr
    assert leftovers(State(running_stack.state_dir)) == []
    started = headwater("up", "-d")
    assert started.returncode == 0, started.stdout + started.stderr
    assert _filtered_count(running_stack) == before
    demo = headwater("demo", "--json", "--events", "20")
    assert json.loads(demo.stdout)["ok"] is True, demo.stdout
    assert _filtered_count(running_stack) == before + 20


def _filtered_count(settings: StackSettings) -> int:
    topics = [topic.name for topic in schemas.topics() if topic.name.startswith("filtered-")]
    return sum(position.offset for position in end_offsets(settings.kafka_bootstrap, topics))


@pytest.mark.parametrize("seconds", [0.3, 1.5, 4.0, 8.0])
def test_ctrl_c_at_any_moment_of_up_leaves_nothing_running(fresh_environment: dict[str, str], seconds: float) -> None:
    """The interrupted command stops what it had started and says so."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stack", "up", "-d"],
        env=fresh_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert leftovers(State(Path(fresh_environment["HEADWATER_STATE_DIR"]))) == []


def test_a_port_in_use_names_the_port_and_its_setting(
    running_stack: StackSettings, stack_environment: dict[str, str], tmp_path: Path
) -> None:
    """A second stack on the same ports is refused before anything starts."""
    environment = {**stack_environment, "HEADWATER_STATE_DIR": str(tmp_path / "other")}
    refused = subprocess.run(
        [sys.executable, "-m", "stack", "up", "-d"], env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert str(running_stack.postgres_port) in refused.stderr
    assert "HEADWATER_POSTGRES_PORT" in refused.stderr
    assert os.path.lexists(running_stack.state_dir / "state.json")
