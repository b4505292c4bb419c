"""Commands that are loaded when they are asked for."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from stack.cli import app
from stack.lazy import COMMANDS


def test_what_a_command_does_not_need_is_not_loaded() -> None:
    """A command that asks a running stack starts without the emulators, the planner and the clients of AWS."""
    heavy = ("moto", "boto3", "jgo", "pyflink", "jsonschema", "stack.bench_commands")
    code = f"import stack.cli, sys; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_can_be_loaded(name: str) -> None:
    """Help of each one is that of a command with its name."""
    told = CliRunner().invoke(app, [name, "--help"])
    assert told.exit_code == 0
    assert f"{name} [OPTIONS]" in told.output


def test_help_shows_each_command_once_and_the_demo_first() -> None:
    """A newcomer's first command stands at the top."""
    told = CliRunner().invoke(app, ["--help"])
    lines = [line.split()[1] for line in told.output.splitlines() if line.startswith("│ ") and line[2].isalpha()]
    assert lines[0] == "demo"
    assert sorted(lines) == sorted({*COMMANDS, "up", "down", "status", "logs", "send"})


def test_an_unknown_command_is_refused_with_a_hint() -> None:
    """A slip of the finger names the command that was meant."""
    told = CliRunner().invoke(app, ["filterz"])
    assert told.exit_code == 2
    assert "filters" in told.output
