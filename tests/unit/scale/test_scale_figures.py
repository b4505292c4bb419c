"""The figures of the model of scale: where they are from, and how those of another machine take their place."""

from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from stack.errors import StackError
from stack.scale.figures import LARGE, Figure, load


def _figure(value: float, large: float | None) -> Figure:
    return Figure(value, "µs", "measured", "headwater sim scale --measure", date(2026, 11, 27), large)


def test_every_figure_says_where_it_is_from() -> None:
    """What we measured has its command, what we did not its source, and no price is called ours (CL-100, CL-101)."""
    shipped = load()
    found = {each.name: getattr(shipped, each.name) for each in fields(shipped)}
    figures = {name: figure for name, figure in found.items() if isinstance(figure, Figure)}
    assert len(figures) == len(found) - 2
    for name, figure in figures.items():
        assert figure.source.startswith("headwater ") == (figure.kind == "measured"), name
        assert figure.date >= date(2026, 11, 21), name
        assert not (name.endswith("_usd") and figure.kind == "measured")


def test_classes_cost_what_the_quoted_figure_says() -> None:
    """The lists of classes repeat one quoted price and one quoted throughput, in proportion."""
    shipped = load()
    for database in shipped.databases:
        assert database.usd_hour == pytest.approx(database.vcpu * shipped.database_usd.value)
    for broker in shipped.brokers:
        assert broker.usd_hour == pytest.approx(broker.vcpu / 2 * shipped.broker_usd.value)
        assert broker.ingress_mb == pytest.approx(broker.vcpu / 2 * shipped.broker_mb.value, rel=0.01)


@given(one=some.floats(1, 1000), large=some.floats(0.1, 1000), events=some.integers(1, 1000))
def test_a_figure_goes_through_both_that_were_measured(one: float, large: float, events: int) -> None:
    """A cost has a part for the event and a part for its transaction, which a larger one spreads."""
    figure = _figure(one, large)
    assert figure.at(1) == pytest.approx(one)
    assert figure.at(LARGE) == pytest.approx(large)
    nearer = sorted((figure.at(events), figure.at(events + 1)), reverse=one > large)
    assert nearer == [figure.at(events), figure.at(events + 1)] or one == pytest.approx(large)
    assert _figure(one, None).at(events) == one


def test_figures_of_another_machine_take_the_place_of_ours(tmp_path: Path) -> None:
    """What the file does not have stays as shipped."""
    own = tmp_path / "mine.toml"
    own.write_text(
        '[engine_us]\nvalue = 5\nlarge = 4\nunit = "µs"\nkind = "measured"\n'
        'source = "headwater sim scale --measure"\ndate = 2027-01-02\n'
    )
    assert load(own).engine_us.at(1) == 5
    assert load(own).whole_us == load().whole_us


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("engine_us = 5", "engine_us"),
        ('[engine_us]\nvalue = "fast"', "engine_us.value"),
        ("[[engine_us", "cannot be read"),
        ('[engin_us]\nvalue = 5\nunit = "µs"', "engin_us"),
    ],
)
def test_what_is_no_figure_is_refused_by_its_place(tmp_path: Path, text: str, place: str) -> None:
    """The error names file, place and remedy."""
    own = tmp_path / "mine.toml"
    own.write_text(text)
    with pytest.raises(StackError, match=place) as refused:
        load(own)
    assert "mine.toml" in refused.value.problem
    assert "--measure" in refused.value.remedy
