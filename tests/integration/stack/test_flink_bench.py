"""`headwater bench flink` on a stack of its own."""

import json

import pytest
from typer.testing import CliRunner

from stack.cli import app


@pytest.mark.slow
def test_copy_and_filters_read_a_backlog_and_lose_and_repeat_nothing() -> None:
    """Every record is counted where it must be, for a copy, for four filters and for a hundred (FL-48)."""
    done = CliRunner().invoke(app, ["bench", "flink", "--records", "4000", "--rounds", "1", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["lost"] == report["duplicates"] == {"passthrough": 0, "filters_4": 0, "filters_100": 0}
    assert all(report[name] > 0 for name in report["lost"])
