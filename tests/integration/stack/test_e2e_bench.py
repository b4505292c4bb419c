"""`headwater bench e2e` on a stack of its own."""

import json

import pytest
from typer.testing import CliRunner

from stack.cli import app


@pytest.mark.slow
def test_events_at_fixed_rates_are_followed_to_their_topics_and_none_is_lost_or_repeated() -> None:
    """Each hop of each event is seen, at two rates, once (CD-110, FL-48)."""
    options = ["--rate", "10", "--rate", "40", "--seconds", "2", "--rounds", "1", "--warm-up", "1", "--json"]
    done = CliRunner().invoke(app, ["bench", "e2e", *options])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["ok"]
    assert [found["events"] for found in report["rates"]] == [20, 80]
    for found in (*report["rates"], report["warm_up"]):
        assert found["lost"] == found["duplicates"] == found["refused"] == 0
    for found in report["rates"]:
        post, raw, filtered = (found["hops_ms"][hop]["p50"] for hop in ("post", "raw_topic", "filtered_topic"))
        assert post > 0
        assert 0 < raw <= filtered
        assert found["p50_ms"] == filtered <= found["p99_ms"]
