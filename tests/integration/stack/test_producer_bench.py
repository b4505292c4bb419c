"""`headwater bench producer` on a stack of its own."""

import json

from typer.testing import CliRunner

from stack.cli import app


def test_handler_and_pgbench_write_events_and_every_row_is_there_once() -> None:
    """Every event that is answered 200 is in three tables, prepared or not, one client or two (EV-50 to EV-57)."""
    command = ["bench", "producer", "--clients", "1", "--clients", "2", "--seconds", "1", "--rounds", "1", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["lost"] == report["duplicates"] == report["refused"] == 0
    for key in ("ratio_1_client", "ratio_2_clients", "ratio_1_client_unprepared", "ratio_2_clients_unprepared"):
        assert report[key] > 0
    for clients in ("1", "2"):
        assert all(found["transactions_per_second"] > 0 for found in report[clients].values())
        assert len(report[clients]) == 5
