"""`headwater bench callbacks` on a stack of its own."""

import json

from typer.testing import CliRunner

from stack.cli import app


def test_callbacks_are_measured_and_none_is_lost_or_wrong() -> None:
    """Every call of every session has its own answer, at a rate and without a pause (LC-90, LC-98)."""
    command = ["bench", "callbacks", "--sessions", "4", "--calls", "100", "--rounds", "1", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["ok"]
    for load in ("paced", "no_pause"):
        assert report[load]["lost"] == report[load]["wrong"] == 0
        assert 0 < report[load]["p50_ms"] <= report[load]["p99_ms"]
