"""A whole stack of its own, started and stopped by the `headwater` command as a user would."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from stack.ports import own_settings
from stack.settings import StackSettings

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _environment(folder: Path) -> dict[str, str]:
    ports = {variable: str(port) for variable, port in own_settings(folder).ports.items()}
    return {**os.environ, **ports, "HEADWATER_STATE_DIR": str(folder)}


@pytest.fixture(scope="session")
def stack_environment(state_folder: Path) -> dict[str, str]:
    """Environment of the session's stack: free ports, and a folder whose path holds spaces."""
    return _environment(state_folder / "a path with spaces" / "state")


@pytest.fixture
def fresh_environment(state_folder: Path) -> dict[str, str]:
    """Environment of a stack that was never started, with free ports of its own."""
    return _environment(state_folder / uuid4().hex)


@pytest.fixture(scope="session")
def headwater(stack_environment: dict[str, str]) -> Run:
    """Run the `headwater` command against that stack."""

    def run(*arguments: str, text: str | None = None, timeout: float = 280) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "stack", *arguments],
            env=stack_environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def running_stack(headwater: Run, stack_environment: dict[str, str]) -> Iterator[StackSettings]:
    """The stack, up; stopped when the session ends, with nothing of it left."""
    started = headwater("up", "-d")
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        ports = {
            name: int(stack_environment[f"HEADWATER_{name.upper()}"])
            for name in StackSettings.model_fields
            if name.endswith("_port")
        }
        yield StackSettings(state_dir=Path(stack_environment["HEADWATER_STATE_DIR"]), **ports)
    finally:
        stopped = headwater("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture
def stack_status(headwater: Run) -> Callable[[], dict[str, Any]]:
    """Ask for `status --json`."""

    def ask() -> dict[str, Any]:
        answer = headwater("status", "--json")
        assert answer.returncode == 0, answer.stderr
        return dict(json.loads(answer.stdout))

    return ask
