"""`headwater sim`: what it prints, and what it returns."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cdc.positions import Floors
from cdc.simulation.campaign import Tally, run_seeds
from stack import sim
from stack.cli import app


def test_good_schedules_are_counted_on_every_core() -> None:
    """The JSON has the number asked for and the three zeros, and nothing else."""
    result = CliRunner().invoke(app, ["sim", "--schedules", "1234", "--seed", "5", "--json"])
    assert result.exit_code == 0
    assert result.stdout == '{"schedules":1234,"lost":0,"duplicates":0,"reordered":0}\n'
    assert "seed 5" in result.stderr


def test_a_run_ends_with_its_time() -> None:
    """A run by time ends, with some schedules done, and says from which seed it went."""
    result = CliRunner().invoke(app, ["sim", "--minutes", "0.01", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schedules"] > 0
    assert "from seed" in result.stderr


def test_a_failing_seed_is_named_and_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader gets the command that repeats it, the steps that matter, and the count of what went wrong."""
    monkeypatch.setattr(Floors, "hold", lambda _floors, _record: False)
    found = run_seeds(range(1000))
    text = io.StringIO()
    sim._explain(Console(file=text, width=100), found.seeds[0])
    assert f"headwater sim --seed {found.seeds[0]} --schedules 1" in text.getvalue()
    assert "stored in" in text.getvalue()
    assert "0 lost, 1 duplicates, 0 reordered" in text.getvalue()


def test_a_failing_run_returns_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script sees the failure by the exit code and finds the seed in the JSON."""
    failed = Tally(schedules=7, duplicates=2, seeds=(41,))
    monkeypatch.setattr(sim, "simulate", lambda *_args, **_given: failed)
    result = CliRunner().invoke(app, ["sim", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "schedules": 7,
        "lost": 0,
        "duplicates": 2,
        "reordered": 0,
        "failures": 0,
        "seeds": [41],
    }


def test_an_idle_table_is_simulated_by_a_command() -> None:
    """`headwater sim idle`: the most that was held back, the bound, and nothing of the other simulation."""
    result = CliRunner().invoke(app, ["sim", "idle", "--hours", "0.5", "--json"])
    assert result.exit_code == 0
    held = json.loads(result.stdout)
    assert list(held) == ["hours", "retained_max_bytes", "heartbeat_bytes", "heartbeats", "ok"]
    assert (held["hours"], held["ok"]) == (0.5, True)
    assert 0 < held["retained_max_bytes"] <= held["heartbeat_bytes"]
    assert "at most" in CliRunner().invoke(app, ["sim", "idle", "--hours", "0.5"]).stdout
