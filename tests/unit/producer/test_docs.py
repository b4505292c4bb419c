"""docs/producer.md names every variable that is read."""

from pathlib import Path

import pytest

from database import DatabaseSettings
from producer.settings import ProducerSettings

DOCUMENT = (Path(__file__).parents[3] / "docs" / "producer.md").read_text("utf-8")
VARIABLES = [name.upper() for settings in (DatabaseSettings, ProducerSettings) for name in settings.model_fields]


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_is_documented(variable: str) -> None:
    """A setting that nobody can find is no setting."""
    assert f"`{variable}`" in DOCUMENT


def test_clients_are_told_to_back_off() -> None:
    """The row of 503 says to wait longer each time (LC-25)."""
    [row] = [line for line in DOCUMENT.splitlines() if line.startswith("| 503 ")]
    assert "waiting longer each time" in row
