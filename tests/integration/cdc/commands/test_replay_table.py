"""`headwater cdc replay --table` sends rows of a table again, chosen by key, time or type, marked, while it streams."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("server", ["18"], indirect=True)  # the command is the same for every server

Replay = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def replay(headwater_cdc) -> Replay:
    """Run `headwater cdc replay --table event_headers …`."""
    return partial(headwater_cdc, "replay", "--table", "event_headers")


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
        assert said in document["said"]
