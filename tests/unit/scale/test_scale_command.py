"""`headwater sim scale`: what it prints, and what it returns."""

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stack.cli import app
from stack.scale.figures import load
from stack.scale.fitting import as_toml, walsender
from stack.scale.readings import Measured, Readings


def readings(events: int, decode: float, send: float) -> Readings:
    """Return what a machine would give on which a row filter costs exactly this."""
    filtered = {shards: [decode + send / shards] * 3 for shards in (2, 4, 8)} | {0: [decode]}
    return Readings(
        events=events,
        wal_bytes=2800,
        stored_bytes=2500,
        load_us=40,
        walsender_us={1: [20.0], **filtered},
        walsender_rate={shards: [50_000.0] for shards in (1, 2, 4, 8, 0)},
        engine_us=10,
        broker_us=20,
        drain_rate=30_000,
    )


def test_a_planned_rate_is_shown_to_hold() -> None:
    """One document with sizes, limits, needs, prices and the four runs; exit code 0."""
    done = CliRunner().invoke(app, ["sim", "scale", "--rate", "20000", "--seconds", "2", "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["plans"]
    assert found["ok"]
    assert found["usual"]["sustainable"]
    assert found["peak"]["sustainable"]
    assert not found["one_less"]["simulated"]["sustainable"]
    assert found["restart"]["catch_up"] > 0
    assert found["needs"]["wal_mb"] > 0
    assert found["usd_month"]["total"] > 0
    assert found["limits"][0]["stage"] == "primary"


def test_sizes_that_are_too_small_return_one() -> None:
    """A single slot for what needs more: the walsender's queue grows, the table says so, exit code 1."""
    arguments = ["sim", "scale", "--rate", "100000", "--primaries", "1", "--vcpu", "48", "--shards", "1"]
    done = CliRunner().invoke(app, [*arguments, "--transaction-events", "4", "--seconds", "2"])
    assert done.exit_code == 1
    assert "does not hold" in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("walsender"))
    assert row.rstrip().endswith("grows")
    assert "never" in done.stdout


def test_sizes_that_cannot_be_are_refused() -> None:
    """As many walsenders as processors: the error says what to change."""
    done = CliRunner().invoke(app, ["sim", "scale", "--rate", "1000", "--shards", "4", "--vcpu", "4"])
    assert done.exit_code == 1
    assert "leave no processor" in str(done.exception)


def test_three_rates_are_planned_without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a row for each rate, with what comes first and what one unit less does."""
    monkeypatch.setattr("stack.scale.command._RATES", (5_000.0, 20_000.0))
    done = CliRunner().invoke(app, ["sim", "scale", "--seconds", "2"])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if " by 1" in line]
    assert len(lines) == 6
    assert all("holds" in line and "queue grows" in line for line in lines[4:])


def test_what_was_measured_can_be_given_back(tmp_path: Path) -> None:
    """The line through a walsender's readings is found again, and the printed file is one for --figures (CL-100)."""
    measured = Measured(readings(1, 7, 16), readings(100, 5, 6), store_us=150, record_bytes=640, consumer_us=20)
    assert walsender(measured.one) == pytest.approx((7, 16, 0))
    own = tmp_path / "mine.toml"
    own.write_text(as_toml(measured, date(2026, 11, 27)))
    found = load(own)
    assert (found.decode_us.at(1), found.send_us.at(1), found.decode_us.at(100)) == (7, 16, 5)
    assert (found.write_us.at(1), found.write_us.at(100)) == pytest.approx((150, 40))
    assert "lost 0, repeated 0" in own.read_text()
