"""The systems around Lambda, beside the pipeline, as a user starts and meets them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stack.state import State
from stack.supervision import leftovers

pytestmark = pytest.mark.timeout(400)

SYSTEMS = {"callbacks", "iam-database", "todos", "serverless-api", "auto-start-stop"}


def test_a_walk_goes_through_every_system_and_leaves_nothing_behind(fresh_environment: dict[str, str]) -> None:
    """`headwater demo functions` starts the whole stack with its functions, and each step does what it must.

    Callbacks in both directions (LC-80, LC-90, LC-99), tokens (LC-100), todos in two stores (LC-120), the API over
    Aurora Serverless (LC-150), and a database that stops and comes back by a POST (LC-51, LC-62, LC-68).
    """
    done = subprocess.run(
        [sys.executable, "-m", "stack", "demo", "functions", "--json"],
        env=fresh_environment,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    systems: list[dict[str, Any]] = json.loads(done.stdout)["systems"]
    failed = [f"{each['name']}: {step}" for each in systems for step in each["steps"] if not step["ok"]]
    assert not failed, f"{failed}\n{done.stderr[-2000:]}"
    assert {each["name"] for each in systems} == SYSTEMS
    assert all(each["ok"] and len(each["steps"]) >= 3 for each in systems)
    assert done.returncode == 0
    assert leftovers(State(Path(fresh_environment["HEADWATER_STATE_DIR"]))) == []
