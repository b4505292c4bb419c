"""docs/cluster-power.md names every variable that is read, and says what a monitor does to auto-stop."""

from pathlib import Path

import pytest

from functions.cluster_power.settings import StopSettings

DOCUMENT = (Path(__file__).parents[3] / "docs" / "cluster-power.md").read_text("utf-8")


@pytest.mark.parametrize("variable", [*(name.upper() for name in StopSettings.model_fields), "DATABASE_URL"])
def test_every_variable_is_documented(variable: str) -> None:
    """A setting that nobody can find is no setting (LC-50, LC-60)."""
    assert f"`{variable}`" in DOCUMENT


def test_monitors_are_warned() -> None:
    """Their requests count, so they must come less often than the window or by another path (LC-72)."""
    assert "a monitor that asks more often than the window keeps the cluster" in DOCUMENT
