"""Settings that cannot be used stop the start and say how to mend them (LC-4, FL-21)."""

import logging
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
