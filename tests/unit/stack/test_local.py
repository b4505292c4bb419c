"""How a stack waits for its services."""

import json
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.local import LocalStack
from stack.service import Service
from stack.settings import StackSettings
from stack.supervision import Process


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStack:
    """A stack whose supervisor says that `part` runs, and that was started nine times since `up`."""
    made = LocalStack(StackSettings(state_dir=tmp_path))
    made.state.create()
    made.state.starts.write_text(json.dumps({"part": 9}))
    monkeypatch.setattr(made.supervisor, "processes", lambda: {"part": Process("part", "RUNNING", 1)})
    return made


def test_earlier_restarts_do_not_count_against_a_start(stack: LocalStack) -> None:
    """A service that was restarted often, by whomever, may be started once more."""
    answers = iter([False, False, True])
    stack.wait_until_ready(Service(name="part", command=("x",), ready=lambda: next(answers)))


def test_a_service_that_keeps_dying_is_not_waited_for(stack: LocalStack) -> None:
    """Its starts since the waiting began tell."""

    def dies() -> bool:
        starts = json.loads(stack.state.starts.read_text())
        stack.state.starts.write_text(json.dumps({"part": starts["part"] + 1}))
        return False

    with pytest.raises(StackError, match="it keeps dying"):
        stack.wait_until_ready(Service(name="part", command=("x",), ready=dies))
