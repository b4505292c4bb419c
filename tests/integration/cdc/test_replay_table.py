"""`headwater cdc replay --table` sends rows of a table again, chosen by key, time or type, marked, while it streams."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # the command is the same for every server

Replay = Callable[..., tuple[int, dict[str, Any]]]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def replay(database, topic, slot, tmp_path) -> Replay:
    """Run `headwater cdc replay --table event_headers …`; gives exit code and document."""

    def run(*options: str) -> tuple[int, dict[str, Any]]:
        given = {
            "DATABASE_URL": database.url,
            "KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap,
            "CDC_TOPIC": topic.name,
            "SLOT_NAME": slot,
            "HEADWATER_STATE_DIR": str(tmp_path / "none"),
        }
        command = [sys.executable, "-m", "stack", "cdc", "replay", "--table", "event_headers", "--json", *options]
        done = subprocess.run(
            command, env={**os.environ, **given}, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}

    return run


def test_rows_are_sent_again_by_key_time_and_type(database, topic, launch, replay: Replay) -> None:
    """Each as `r` with the header of the replay, which tells it from a snapshot's row; the stream goes on beside it."""
    launch(CDC_SNAPSHOT_MODE="never").wait_for("streaming")
    database.insert("old", "new", "it's", "other")
    database.run("UPDATE event_headers SET saved_date = '2020-01-01Z' WHERE id = 'old'")
    database.run("UPDATE event_headers SET event_type = 'LoanCreated' WHERE id = 'other'")

    def again() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for record in topic.records():
            if record.operation == "r":
                found.setdefault(record.headers["cdc.replay"].decode(), set()).add(record.key)
        return found

    for options, keys in (
        (("--key", "it's", "--key", '{"id":"new"}'), {"it's", "new"}),
        (("--since", "2021-01-01T00:00Z"), {"new", "it's", "other"}),
        (("--type", "LoanCreated"), {"other"}),
        (("--since", "2021-01-01", "--key", "old"), set()),
        ((), {"old", "new", "it's", "other"}),
    ):
        code, document = replay(*options)
        assert (code, document["state"], document["rows"]) == (0, "done", len(keys))
        assert again().get(document["request"], set()) == keys


def test_a_choice_that_cannot_be_made_is_refused(launch, replay: Replay) -> None:
    """With the remedy, before anything is written."""
    launch().wait_for("streaming")
    for options, said in (
        (("--since", "yesterday evening"), "the condition cannot be used"),
        (("--type", "x", "--type-column", "kind"), "--type-column"),
        (("--dead-letters",), "replay from"),
    ):
        code, document = replay(*options)
        assert code == 1
        assert said in document["error"]
