"""`headwater bench cdc` on a stack of its own, in tiny sizes: its form and its verdict, never a speed."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stack.cli import app

_TINY = ("--transactions", "60", "--rounds", "1", "--json")


def _measured(*options: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["bench", "cdc", *_TINY, *options])
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"]
    return report


@pytest.mark.slow
def test_our_engine_drains_a_backlog_beside_both_limits_and_is_drawn(tmp_path: Path) -> None:
    """Every committed row is in Kafka once, from a backlog of transactions of several events (CD-40)."""
    plot = tmp_path / "figures.svg"
    report = _measured("--engines", "native,limit", "--events", "5", "--seconds", "1", "--plot", str(plot))
    native = report["native"]
    assert (native["lost"], native["duplicates"], native["reordered"]) == (0, 0, 0)
    assert native["rate"] > 0
    assert native["cpu_seconds"] > 0
    assert native["peak_rss_mb"] > 0
    assert 200 < native["record_bytes"] < 500
    assert report["limit"]["walsender"] > 0
    assert report["limit"]["broker"] > 0
    assert report["ratio_vs_limit"] > 0
    assert report["limit"]["latency_ms"]["100"]["from_intended"]["p50"] > 0
    assert plot.stat().st_size > 0


@pytest.mark.slow
def test_both_engines_follow_an_open_loop_with_the_same_guarantees() -> None:
    """Debezium's producer is idempotent and waits for every replica, as ours does; nothing is lost at any pace."""
    report = _measured("--engines", "native,debezium", "--seconds", "1", "--highest-rate", "200")
    for engine in ("native", "debezium"):
        told = report[engine]
        assert (told["lost"], told["duplicates"], told["reordered"]) == (0, 0, 0)
        for pace in ("100", "1000", "half"):
            times = told["latency_ms"][pace]["from_intended"]
            assert 0 < times["p50"] <= times["p99"] <= times["p999"]
    assert report["debezium"]["producer"]["acks"] == "-1"
    assert report["debezium"]["producer"]["enable.idempotence"] == "true"
    assert report["ratio_vs_debezium"] > 0
    assert report["latency_ratio"] > 0
