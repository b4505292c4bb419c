"""The dealer filters, from a POST to their topics, on a stack that was started as the documentation says."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

import schemas
from stack.settings import StackSettings
from tests.posting import ids_in
from tests.waiting import eventually

DEALERS = ("001", "002", "003")


def topic(dealer: str) -> str:
    """Return the topic of one dealer's services."""
    return f"filtered-service-events-dealer-{dealer}-flink"


@pytest.fixture
def dealer_stack(fresh_environment: dict[str, str]) -> Iterator[Callable[..., "subprocess.CompletedProcess[str]"]]:
    """A stack with the dealer filters, whose producer copies the dealer into the header; stopped at the end."""
    environment = {
        **fresh_environment,
        "FILTERS_FILE": str(schemas.dealer_filters_path()),
        "HEADER_ENTITY_FIELDS": "ServiceRecord.dealerId",
    }

    def run(*arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "stack", *arguments]
        return subprocess.run(
            command, env=environment, input=text, capture_output=True, text=True, timeout=280, check=False
        )

    started = run("up", "-d")
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        yield run
    finally:
        assert run("down").returncode == 0


@pytest.mark.slow
def test_each_dealer_sample_is_in_its_dealers_topic_and_in_no_other(
    dealer_stack: Callable[..., "subprocess.CompletedProcess[str]"], fresh_environment: dict[str, str]
) -> None:
    """Posted, committed, captured, filtered by `header_data.dealerId`: each once, in one place (FL-20, FL-21)."""
    ids = {}
    for dealer in DEALERS:
        event = schemas.samples()[f"service-dealer-{dealer}"]
        assert event["entities"][0]["dealerId"] == f"DEALER-{dealer}"
        ids[dealer] = event["eventHeader"]["uuid"]
        sent = dealer_stack("send", "-", text=json.dumps(event))
        assert sent.returncode == 0, sent.stdout
    # What is of no dealer goes nowhere; one more of the first dealer is posted after it.
    for name in ("car-created", "car-service-done"):
        assert dealer_stack("send", "-", text=json.dumps(schemas.samples()[name])).returncode == 0
    last = schemas.samples()["car-service-done"]
    assert last["entities"][0]["dealerId"] == "DEALER-001"
    ports = {
        name: int(fresh_environment[f"HEADWATER_{name.upper()}"])
        for name in StackSettings.model_fields
        if name.endswith("_port")
    }
    settings = StackSettings(state_dir=Path(fresh_environment["HEADWATER_STATE_DIR"]), **ports)

    def found() -> dict[str, dict[str, int]]:
        known = AdminClient({"bootstrap.servers": settings.kafka_bootstrap}).list_topics(timeout=10).topics
        names = [name for name in known if name.startswith("filtered-")]
        return {name: dict(counts) for name in names if (counts := ids_in(settings, name))}

    expected = {topic(dealer): {event_id: 1} for dealer, event_id in ids.items()}
    expected[topic("001")][last["eventHeader"]["uuid"]] = 1
    eventually(lambda: expected.items() <= found().items(), "each is in its topic", 60)
    assert ids_in(settings, "raw-event-headers").total() == len(DEALERS) + 2
    assert found() == expected
