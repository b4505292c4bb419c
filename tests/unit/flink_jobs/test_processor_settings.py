"""What the processor is told from outside, its shipped filters, and when it counts as ready."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

import schemas
from flink_jobs import load_filters
from flink_jobs.processor.metrics import Monitor
from flink_jobs.processor.router import Router, Topics
from flink_jobs.processor.settings import ProcessorSettings


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ProcessorSettings]:
    """Settings of an environment that has nothing but these variables."""

    def make(**variables: str) -> ProcessorSettings:
        for name in ProcessorSettings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in {"KAFKA_BOOTSTRAP_SERVERS": "b:9092", **variables}.items():
            monkeypatch.setenv(name, value)
        return ProcessorSettings()

    return make


def test_the_shipped_v2_filters_are_the_v1_filters_under_other_names() -> None:
    """Suffix `-v2` on id, consumer and topic, version 2, for the processor, the conditions as they are (FL-19)."""
    first, second = load_filters(schemas.filters_path()), load_filters(schemas.v2_filters_path())
    renamed = [
        each.model_copy(
            update={
                "id": f"{each.id}-v2",
                "name": f"{each.name} (V2)",
                "consumer_id": f"{each.consumer_id}-v2",
                "output_topic": f"{each.output_topic}-v2",
                "version": 2,
                "targets": ("spring",),
            }
        )
        for each in first.filters
    ]
    assert list(second.filters) == renamed


def test_the_topics_of_v2_end_in_v2_and_the_mark_of_the_processor() -> None:
    """The topic of new cars is `filtered-car-created-events-v2-spring` (FL-19, CD-24)."""
    router = Router(load_filters(schemas.v2_filters_path()), Topics())
    assert router.topics == (
        "filtered-car-created-events-v2-spring",
        "filtered-loan-created-events-v2-spring",
        "filtered-loan-payment-submitted-events-v2-spring",
        "filtered-service-events-v2-spring",
        "dlq-raw-event-headers-spring",
    )


def test_v1_filters_for_flink_are_none_of_the_processors() -> None:
    """Every shipped V1 filter runs on Flink alone."""
    assert Router(load_filters(schemas.filters_path()), Topics()).topics == ("dlq-raw-event-headers-spring",)


def test_a_key_and_a_secret_make_a_client_that_proves_itself(settings: Callable[..., ProcessorSettings]) -> None:
    """SASL_SSL with PLAIN, as the consumers do (FL-82); one without the other is refused, and no secret is shown."""
    given = settings(KAFKA_API_KEY="key", KAFKA_API_SECRET="hidden")
    assert given.reader()["security.protocol"] == given.writer("t")["security.protocol"] == "SASL_SSL"
    assert given.writer("t")["sasl.password"] == "hidden"
    assert "hidden" not in repr(given)
    assert "security.protocol" not in settings().connection()


def test_half_a_credential_is_refused(settings: Callable[..., ProcessorSettings]) -> None:
    """The message names both variables."""
    with pytest.raises(ValidationError, match="KAFKA_API_KEY and KAFKA_API_SECRET"):
        settings(KAFKA_API_KEY="key")


def test_a_missing_variable_is_told_with_status_two() -> None:
    """The command names it and starts nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "flink_jobs.processor"], env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "KAFKA_BOOTSTRAP_SERVERS: Field required" in done.stderr


@pytest.mark.parametrize("variable", [name.upper() for name in ProcessorSettings.model_fields if name != "log_level"])
def test_every_variable_of_the_processor_is_documented(variable: str) -> None:
    """A setting that nobody can find is no setting."""
    assert f"`{variable}`" in (Path(__file__).parents[3] / "docs" / "processor.md").read_text("utf-8")


def test_ready_is_a_loop_that_goes_round_and_live_is_one_that_tries() -> None:
    """A lost session is not ready and still live; a loop that stands still is neither in the end (FL-62)."""
    now = 0.0
    monitor = Monitor(clock=lambda: now)

    def verdict() -> tuple[bool, bool]:
        summary = monitor.summary()
        return summary["ready"], summary["live"]

    assert verdict() == (False, True)
    monitor.moved()
    assert verdict() == (True, True)
    now = 11.0
    assert verdict() == (False, True)
    monitor.moved()
    monitor.failed("session_lost")
    assert verdict() == (False, True)
    now = 132.0
    assert verdict() == (False, False)
