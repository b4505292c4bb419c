"""docs/scale.md says what the planner says with the shipped figures."""

from pathlib import Path

import pytest

from stack.scale.figures import load
from stack.scale.limits import Workload
from stack.scale.needs import dollars
from stack.scale.planner import plan

LINES = (Path(__file__).parents[3] / "docs" / "scale.md").read_text("utf-8").splitlines()
FIGURES = load()
RATES = (10_000, 100_000, 1_000_000)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("events", [1, 100])
def test_the_page_has_the_planned_sizes(rate: int, events: int) -> None:
    """Whoever measures again has to write the table again (CL-100)."""
    made = plan(Workload(rate, events), FIGURES)
    sizes, total = made.sizes, dollars(made, FIGURES)["total"]
    expected = (
        f"{rate:,} by {events} {sizes.primaries} {made.database} {sizes.shards} {sizes.partitions} {sizes.brokers}"
        f" {sizes.broker} {sizes.task_slots} {sizes.consumers} {total:,}"
    )
    assert expected in [" ".join(line.split()) for line in LINES]


def test_the_page_has_the_computed_prices() -> None:
    """Each line of the bill is there, for the three rates, and is called computed (CL-101)."""
    bills = [dollars(plan(Workload(rate), FIGURES), FIGURES) for rate in RATES]
    for name in bills[0]:
        cells = " | ".join(f"**{bill[name]:,}**" if name == "total" else f"{bill[name]:,}" for bill in bills)
        assert any(line.endswith(f"| {cells} |") for line in LINES), name
    assert any(line.startswith("Computed, never billed") for line in LINES)


def test_the_page_has_the_measured_costs() -> None:
    """The two columns of what an event costs are the shipped figures."""
    for figure in (FIGURES.whole_us, FIGURES.engine_us, FIGURES.broker_us):
        assert any(line.endswith(f"| {figure.value:g} | {figure.large:g} |") for line in LINES)
    for figure in (FIGURES.flink_us, FIGURES.flink_broker_us, FIGURES.consumer_us):
        assert any(line.endswith(f"| {figure.value:g} | |") for line in LINES)
    assert any(f"a = {FIGURES.decode_us.value:g}, b = {FIGURES.send_us.value:g}" in line for line in LINES)
