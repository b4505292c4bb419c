"""What `headwater status` says of a Flink job."""

from pathlib import Path

import httpx
import pytest

from flink_jobs.ledger import LEDGER_FILE, Ledger, Submission
from flink_jobs.rest import FlinkRest
from flink_jobs.status import CheckpointStatus
from stack import flink
from stack.job_report import JobReport, reports
from stack.settings import StackSettings
from stack.state import State

ANSWERS = {
    "/jobs/overview": {
        "jobs": [
            {"jid": "b", "name": "f", "state": "RUNNING", "start-time": 2, "tasks": {"total": 4, "running": 3}},
            {"jid": "a", "name": "f", "state": "FINISHED", "start-time": 1, "tasks": {"total": 4, "running": 0}},
        ]
    },
    "/jobs/b/checkpoints": {
        "latest": {"completed": {"id": 7, "external_path": "file:/chk-7", "trigger_timestamp": 0}},
        "history": [{"id": 8, "status": "FAILED"}, {"id": 7, "status": "COMPLETED"}],
    },
    "/jobs/b/metrics": [{"id": "numRestarts", "value": "2"}],
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A cluster that answers like this."""
    given: dict[str, object] = dict(ANSWERS)

    def answer(request: httpx.Request) -> httpx.Response:
        found = given.get(request.url.path)
        return httpx.Response(404, json={"errors": ["not found"]}) if found is None else httpx.Response(200, json=found)

    plain = FlinkRest.__init__

    def start(self: FlinkRest, url: str, *, timeout: float = 10) -> None:
        plain(self, url, timeout=timeout)
        self._client.close()
        self._client = httpx.Client(base_url=url, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(FlinkRest, "__init__", start)
    return given


def test_a_job_is_told_with_its_tasks_restarts_checkpoints_and_guarantee(
    answers: dict[str, object], tmp_path: Path
) -> None:
    """The guarantee is that of what runs, by the list of submissions, whatever the settings say now."""
    state = State(tmp_path)
    Ledger(flink.plans(state) / LEDGER_FILE).add(Submission("b", "d", None, "jm", transactional=True))
    running, ended = reports(StackSettings(state_dir=tmp_path), state)
    assert (running.tasks, running.tasks_running, running.restarts) == (4, 3, 2)
    assert running.checkpoint is not None
    assert (running.checkpoint.number, running.checkpoints_failed) == (7, 1)
    assert running.checkpoint.age_seconds > 1e9
    assert running.delivery == "exactly-once"
    assert ended == JobReport("f", "FINISHED", 4, 0)


def test_a_job_in_the_making_has_no_checkpoints_yet(answers: dict[str, object], tmp_path: Path) -> None:
    """The cluster does not know it well enough to tell; the rest is told all the same."""
    del answers["/jobs/b/metrics"]
    running, _ = reports(StackSettings(state_dir=tmp_path), State(tmp_path))
    assert running == JobReport("f", "RUNNING", 4, 3)


def test_a_line_says_what_there_is_and_no_more() -> None:
    """Restarts and failed checkpoints only where there are some."""
    report = JobReport("f", "RUNNING", 4, 4, 0, CheckpointStatus(7, "file:/x", 2.4), 0, "at-least-once")
    assert report.line == "f RUNNING, 4 of 4 tasks, checkpoint 7 2 s ago, at-least-once"
    troubled = JobReport("f", "RESTARTING", 4, 0, 3, None, 2)
    assert troubled.line == "f RESTARTING, 0 of 4 tasks, 3 restarts, 2 checkpoints failed"
