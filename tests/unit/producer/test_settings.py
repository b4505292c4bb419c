"""Settings that cannot be used stop the start and say how to mend them (LC-4, FL-21)."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from pydantic import ValidationError

from producer import logs
from producer.settings import ProducerSettings


def test_copied_fields_are_read_as_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entity type and field, separated by commas; off by default (FL-21)."""
    monkeypatch.delenv("HEADER_ENTITY_FIELDS", raising=False)
    assert ProducerSettings().copied_fields == ()
    monkeypatch.setenv("HEADER_ENTITY_FIELDS", "ServiceRecord.dealerId, Car.vin,")
    assert ProducerSettings().copied_fields == (("ServiceRecord", "dealerId"), ("Car", "vin"))


@pytest.mark.parametrize("entry", ["dealerId", "ServiceRecord.", ".dealerId", "Car.uuid", "Car.vin,Car.savedDate"])
def test_a_copied_field_without_type_or_with_a_taken_name_is_refused(
    entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None may replace one of the five fields of the header JSON (EV-92, FL-21)."""
    monkeypatch.setenv("HEADER_ENTITY_FIELDS", entry)
    with pytest.raises(ValidationError, match=r"write EntityType\.field"):
        ProducerSettings()


@pytest.fixture
def _own_logging() -> Iterator[None]:
    """Leave the logging of the session as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_own_logging")
def test_an_unknown_log_level_is_refused_with_the_known_ones() -> None:
    """Debug, info, warn and error are levels (LC-4)."""
    for level in ("debug", "info", "warn", "error"):
        logs.configure(level)
    with pytest.raises(ValueError, match="LOG_LEVEL is 'loud': set debug, info, warn or error"):
        logs.configure("loud")


def test_auto_start_is_off_and_has_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default; then no time of a request is kept for it (LC-4, LC-24)."""
    monkeypatch.delenv("AURORA_AUTO_START_FUNCTION_NAME", raising=False)
    assert (ProducerSettings().auto_start_timeout, ProducerSettings().wake_seconds) == (5.0, 0.0)
    monkeypatch.setenv("AURORA_AUTO_START_FUNCTION_NAME", "auto-start")
    assert ProducerSettings().wake_seconds == 5.0


def test_auto_start_may_not_take_a_whole_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time would be left for the database itself (LC-24)."""
    monkeypatch.setenv("AURORA_AUTO_START_FUNCTION_NAME", "auto-start")
    monkeypatch.setenv("REQUEST_SECONDS", "5")
    with pytest.raises(ValidationError, match="AUTO_START_TIMEOUT is not below REQUEST_SECONDS"):
        ProducerSettings()


def test_the_aws_sdk_is_loaded_only_for_auto_start() -> None:
    """It is the largest part of a cold start (LC-24)."""
    program = (
        "import os, sys; from producer.service import Service; Service.from_environment();print('boto3' in sys.modules)"
    )
    base = {"DATABASE_URL": "postgresql://u@h/d", "PATH": os.environ["PATH"], "AWS_REGION": "us-east-1"}
    for variables, loaded in (({}, "False"), ({"AURORA_AUTO_START_FUNCTION_NAME": "auto-start"}, "True")):
        done = subprocess.run(
            [sys.executable, "-c", program], env={**base, **variables}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == loaded
