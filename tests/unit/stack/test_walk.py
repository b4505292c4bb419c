"""A walk through a system: what it tells of steps that go well, and of one that does not."""

import io
import stat
from pathlib import Path

import pytest
from rich.console import Console

from stack.errors import StackError
from stack.functions.credentials import Credentials
from stack.functions.demo import refuse_without_functions
from stack.functions.walk import Walk, expect, go
from stack.local import LocalStack
from stack.settings import StackSettings


def _silent() -> Console:
    return Console(file=io.StringIO())


def test_the_first_failed_step_ends_a_walk_and_says_why() -> None:
    """What came before it stays told, what comes after is not tried."""

    def steps(walk: Walk) -> None:
        with walk.step("one") as saw:
            saw.text = "seen"
        with walk.step("two"):
            expect(False, "three apples")
        raise AssertionError("the walk went on")

    walk = go("system", _silent(), steps)
    assert not walk.ok
    assert [(step.name, step.ok, step.saw) for step in walk.steps] == [
        ("one", True, "seen"),
        ("two", False, "three apples"),
    ]
    assert walk.as_dict()["ok"] is False


def test_a_walk_without_a_step_is_not_a_success() -> None:
    """Nothing done is nothing shown."""
    assert not go("system", _silent(), lambda _walk: None).ok


def test_an_error_outside_of_any_step_is_not_swallowed() -> None:
    """It would otherwise look like a walk that ended well."""

    def steps(_walk: Walk) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        go("system", _silent(), steps)


def test_credentials_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    """They are random, stay as they are, and are not in their own text."""
    made = Credentials.of(tmp_path)
    assert Credentials.of(tmp_path) == made
    assert stat.S_IMODE((tmp_path / "functions.json").stat().st_mode) == 0o600
    assert made.master_password not in repr(made)
    # Also where nothing was ever started, as when a first command asks for the status.
    assert Credentials.of(tmp_path / "other").secret_key != made.secret_key


def test_a_stack_without_functions_is_refused_with_the_command_that_starts_them(tmp_path: Path) -> None:
    """The walk needs them; nothing is started behind the user's back."""
    with pytest.raises(StackError, match="up --with functions"):
        refuse_without_functions(LocalStack(StackSettings(state_dir=tmp_path)))
