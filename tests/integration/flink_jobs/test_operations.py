"""What an operator does with the job, through the commands, on a real cluster by its REST address (FL-58)."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import schemas
from flink_jobs import run
from stack import java, maven

Record = Callable[..., bytes]
Wait = Callable[..., Any]

CARS = "filtered-car-created-events"
BASES = tuple(topic.name.removesuffix("-flink") for topic in schemas.topics() if topic.name.startswith("filtered-"))


def headwater(stage: Any, *arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    """Run `headwater flink …` on the cluster of the tests."""
    command = [sys.executable, "-m", "stack", "flink", *arguments, "--rest", stage.rest_url]
    environment = stage.environment | changes
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def answer(stage: Any, *arguments: str) -> dict[str, Any]:
    """Run a command that succeeds and return its JSON."""
    done = headwater(stage, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_submit_savepoint_cancel_restore(stage: Any, record: Record, wait_for: Wait) -> None:
    """Each does what it says, tells it as JSON, and the job goes on from the place that it names (FL-58)."""

    def arrives(*expected: str) -> None:
        wait_for(lambda: sorted(stage.ids(stage.filtered(CARS))) == sorted(expected), f"{expected} are routed")

    stage.create_topics(*BASES)
    submitted = answer(stage, "submit")
    assert submitted["state"] == "RUNNING"
    stage.produce([record("one")])
    arrives("one")
    kept = answer(stage, "savepoint")["savepoint"]
    stage.produce([record("two")])
    arrives("one", "two")
    status = answer(stage, "status")
    assert (status["id"], status["state"], status["delivery"]) == (submitted["id"], "RUNNING", "at-least-once")
    assert status["restarts"] == 0
    assert status["tasks"] == status["tasks_running"] > 0
    with stage.keeping() as keeper:
        wait_for(lambda: keeper.has_seen(submitted["id"]), "the keeper sees the job")
        ended = answer(stage, "cancel")
        assert ended["state"] == "FINISHED"
        wait_for(lambda: any("job_ended" in line for line in keeper.log), "the keeper leaves it ended")
        stage.produce([record("three")])
        assert answer(stage, "status")["state"] == "FINISHED"
        answer(stage, "submit")
        arrives("one", "two", "three")
        restored = answer(stage, "restore", kept)
        assert restored["from"] == kept
        # The savepoint is from before the second record: that and what followed come out again.
        arrives("one", "two", "three", "two", "three")
        assert answer(stage, "cancel", "--now") == {"job": restored["id"], "state": "CANCELED", "savepoint": None}
    assert Path(kept.removeprefix("file:")).is_dir()


def test_what_cannot_be_done_is_told_with_its_cause(stage: Any) -> None:
    """Exit 1, one sentence of cause and one of remedy, no trace (FL-58)."""
    nothing = headwater(stage, "cancel")
    assert nothing.returncode == 1
    assert "runs." in nothing.stderr
    assert "headwater flink submit" in nothing.stderr
    nowhere = headwater(stage, "restore", str(stage.folder))
    assert nowhere.returncode == 1
    assert "_metadata" in nowhere.stderr
    failed = headwater(stage, "submit", "--timeout", "8")
    assert failed.returncode == 1
    assert "UnknownTopicOrPartitionException" in failed.stderr
    assert "nothing ran before it" in failed.stderr
    assert not [job for job in stage.jobs() if not job.ended]
    unset = headwater(stage, "status", KAFKA_BOOTSTRAP_SERVERS="")
    assert unset.returncode == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in unset.stderr
    for done in (nothing, nowhere, failed, unset):
        assert "Traceback" not in done.stderr


def test_flinks_own_client_runs_the_same_job(stage: Any, record: Record, wait_for: Wait) -> None:
    """`flink run -py` starts it, and `submit` of other filters takes over where it stopped (FL-58)."""
    stage.create_topics(*BASES)
    home = Path(next(iter(find_spec("pyflink").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    (connector,) = maven.class_path("flink-kafka", Path(stage.settings["cache"]))
    command = [
        str(home / "bin" / "flink"),
        *("run", "--detached", "-m", stage.rest_url.removeprefix("http://"), "-pyclientexec", sys.executable),
        *("-py", str(run.__file__), "-j", str(connector)),
    ]
    environment = {
        **stage.environment,
        "FLINK_HOME": str(home),
        "FLINK_LOG_DIR": str(stage.folder),
        "FLINK_CONNECTOR_JARS": "",
        "JAVA_HOME": str(java.JAVA_HOME),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    started = re.search(rf"{stage.name} is submitted as ([0-9a-f]{{32}})", done.stdout)
    assert started, done.stdout
    job = wait_for(stage.whole, "the job runs")
    assert job.id == started[1]
    stage.produce([record("one"), b"{broken"])
    wait_for(lambda: stage.ids(stage.filtered(CARS)) == ["one"], "it routes")
    wait_for(lambda: [letter.value() for letter in stage.read(stage.dead)] == [b"{broken"], "and keeps what is broken")
    stage.submit()
    stage.produce([record("two")])
    wait_for(lambda: len(stage.ids(stage.filtered(CARS))) > 1, "the next job routes")
    assert sorted(stage.ids(stage.filtered(CARS))) == ["one", "two"]
    assert sorted(each.state for each in stage.jobs()) == ["FINISHED", "RUNNING"]
