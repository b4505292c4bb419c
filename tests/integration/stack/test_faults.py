"""The fault run: kills under load lose nothing, and its judge would see it if they did."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stack.bench_commands import own_stack
from stack.cli import app
from stack.faults import FaultRun


@pytest.mark.slow
def test_kills_under_load_lose_repeat_and_reorder_nothing() -> None:
    """Six rounds of seeded faults at 500 changes/s; the database says what must be in the topic (CD-110, CD-112)."""
    done = CliRunner().invoke(app, ["bench", "faults", "--rounds", "6", "--seed", "1", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["events"] > 1000
    assert (report["lost"], report["duplicates"], report["reordered"]) == (0, 0, 0)
    assert sum(report["rounds_by_fault"].values()) == 6


@pytest.mark.slow
def test_the_judge_sees_a_lost_a_repeated_and_a_reordered_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records taken away, doubled and swapped after the run are counted as what they are."""
    true_records = FaultRun._records

    def spoiled(self: FaultRun) -> dict[str, list[int]]:
        held = defaultdict(list, {key: list(numbers) for key, numbers in true_records(self).items()})
        first, second, third = sorted((key for key in held if len(held[key]) > 3), key=lambda key: -len(held[key]))[:3]
        held[first].pop(1)
        held[second].insert(1, held[second][0])
        held[third][0], held[third][1] = held[third][1], held[third][0]
        return held

    monkeypatch.setattr(FaultRun, "_records", spoiled)
    with own_stack() as stack:
        report = FaultRun(stack, 3).run(1, 500, lambda _number, _name: None)
        folder = Path(stack.state.root)
    assert (report.lost, report.duplicates, report.reordered) == (1, 1, 1)
    assert not report.ok
    assert not folder.exists()
