"""The measurement behind `headwater sim scale` on a stack of its own."""

from datetime import date
from pathlib import Path

import pytest

from stack.bench_commands import own_stack
from stack.scale import fitting, measuring
from stack.scale.figures import load


@pytest.mark.slow
def test_every_part_is_measured_and_nothing_is_lost(tmp_path: Path) -> None:
    """A small run through every filter, the engine, the producer's statement and a consumer gives usable figures."""
    with own_stack() as stack:
        found = measuring.run(stack, 3000, 1)
    assert (found.one.lost, found.large.lost) == (0, 0)
    for each in (found.one, found.large):
        assert set(each.walsender_us) == {1, 2, 4, 8, 0}
        # A record's own columns at least are in the log, and the database keeps them.
        assert each.wal_bytes > found.record_bytes / 2
        assert each.stored_bytes > 0
    own = tmp_path / "mine.toml"
    own.write_text(fitting.as_toml(found, date(2026, 11, 27)))
    figures = load(own)
    assert 300 < figures.record_bytes.value < 2000
    assert figures.whole_us.value > 0
