"""What the unit tests of the Flink stage share: a filter in short, and a cluster that is a list in memory."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flink_jobs import FilterSet, FlinkSettings, load_filters, parse_filters, statements
from flink_jobs.plan import STAND_IN_CHECKPOINT, STAND_IN_JOB_ID, Plan, blueprint
from flink_jobs.rest import CompletedCheckpoint, FlinkError, FlinkUnreachableError, Job
from flink_jobs.submission import Submitter

STRING = b"\x74" + len(STAND_IN_CHECKPOINT).to_bytes(2, "big") + STAND_IN_CHECKPOINT.encode()

Json = dict[str, Any]
MakeDocument = Callable[..., Json]
MakeFilters = Callable[..., FilterSet]


@pytest.fixture
def document() -> MakeDocument:
    """A filter file with one filter of these conditions; keyword arguments change the filter."""

    def make(*conditions: Json, **changes: object) -> Json:
        one = {
            "id": "one",
            "name": "One",
            "consumerId": "one-consumer",
            "outputTopic": "filtered-one",
            "conditions": list(conditions) or [{"field": "event_type", "operator": "equals", "value": "A"}],
            "enabled": True,
        }
        return {"version": 1, "filters": [one | changes]}

    return make


@pytest.fixture
def filters(document: MakeDocument) -> MakeFilters:
    """The same, read."""
    return lambda *conditions, **changes: parse_filters(document(*conditions, **changes))


class Cluster:
    """Answer like Flink's REST interface: jobs by id, gone with the JobManager."""

    def __init__(self) -> None:
        self.lives = 1
        self.reachable = True
        self.loses_answers = False
        self.on_submit = "RUNNING"
        self.outcomes: list[str] = []
        self.accepted: list[tuple[str, bytes]] = []
        self.known: dict[str, Job] = {}
        self.checkpoints: dict[str, CompletedCheckpoint] = {}
        self.refuses_savepoints = False
        self.dies_when_stopped = False

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
        state = self.outcomes.pop(0) if self.outcomes else self.on_submit
        self.known[job_id] = Job(job_id, "headwater-filters", state, 2, 2 * (state == "RUNNING"))
        if self.loses_answers:
            raise FlinkUnreachableError("gone")
        return job_id

    def cancel(self, job_id: str) -> None:
        """Cancel at once."""
        self.end(job_id, "CANCELED")

    def stop(self, job_id: str, folder: str) -> str:
        """Stop after a savepoint below the folder."""
        self._answer()
        if self.refuses_savepoints:
            raise FlinkError("Checkpoint triggering task Source is not being executed at the moment.")
        made = Path(folder.removeprefix("file://")) / f"savepoint-{job_id[:6]}-0123456789ab"
        made.mkdir(parents=True)
        (made / "_metadata").write_bytes(b"x")
        self.end(job_id, "FINISHED")
        if self.dies_when_stopped:
            raise KeyboardInterrupt
        return f"file://{made}"

    def wait_for_savepoint(self, job_id: str, request_id: str, seconds: float) -> str:
        """Return it; here the request is named by its place."""
        return request_id

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

    def started_from(self) -> list[str | None]:
        """Return what each accepted job was to start from."""
        return [body[3:].decode() if body else None for _, body in self.accepted]

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
    parts = statements(load_filters(settings.filters_file), settings.places)
    save(made, blueprint(settings, parts).digest)
    return made


def save(submitter: Submitter, digest: str, *, transactional: bool = False) -> str:
    """Put a plan where the compiler would, and return its digest."""
    stand_in = bytes.fromhex(STAND_IN_JOB_ID)
    submitter.plans.save(Plan(digest, "headwater-filters", stand_in, stand_in + STRING, b"jar", transactional))
    return digest


@pytest.fixture
def compiled(submitter: Submitter) -> Callable[..., str]:
    """Put a plan of this digest where the compiler would."""
    return lambda digest, **facts: save(submitter, digest, **facts)


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
