"""The simulation of scale: it agrees with the model, loses nothing, repeats itself, and shows where a plan ends."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from stack.scale.examining import Course, examine
from stack.scale.figures import load
from stack.scale.limits import Sizes, Workload
from stack.scale.planner import plan
from stack.scale.simulation import Outcome, Scenario, simulate
from stack.scale.stations import poisson, split

FIGURES = load(Path(__file__).with_name("round_figures.toml"))
SIZES = Sizes(1, 8, 2, 6, 3, "express.m7g.xlarge", 2, 3)
USED_TOLERANCE = 0.03
"""Between a stage's use in the simulation and by the model."""
CATCH_UP_TOLERANCE = 0.1
"""Between the times to catch up, as a part of the model's; besides 0.15 s for what is on its way at any moment."""


def shard(outcome: Outcome, stage: str) -> float:
    """Return how much the busiest unit of a stage was used."""
    return next(each.busiest for each in outcome.stages if each.stage == stage)


@pytest.mark.parametrize(("rate", "events"), [(10_000, 1), (40_000, 1), (100_000, 1), (100_000, 100), (150_000, 20)])
def test_a_plan_holds_at_its_peak_and_one_unit_less_does_not(rate: float, events: int) -> None:
    """At its rate, where its headroom ends, and after a restart; with a unit less of the bottleneck a queue grows."""
    made = plan(Workload(rate, events), FIGURES)
    seen = examine(made, FIGURES, Course(seconds=3, down=1))
    assert seen.usual.sustainable
    assert seen.peak.sustainable
    assert seen.less is not None
    assert not seen.less[2].sustainable
    assert [stage.stage for stage in seen.less[2].stages if stage.grows] == [seen.less[0].stage]
    assert seen.ok
    predicted = seen.restart.catch_up_predicted
    assert seen.restart.catch_up is not None
    assert predicted is not None
    assert abs(seen.restart.catch_up - predicted) <= CATCH_UP_TOLERANCE * predicted + 0.15


@pytest.mark.slow
def test_the_shipped_figures_carry_a_million_events_a_second_as_planned() -> None:
    """What docs/scale.md shows for the highest rate, in fewer simulated seconds."""
    shipped = load()
    assert examine(plan(Workload(1_000_000), shipped), shipped, Course(seconds=2, down=0.5)).ok


@pytest.mark.parametrize(("rate", "events"), [(5_000, 1), (20_000, 1), (30_000, 100), (40_000, 7)])
def test_use_agrees_with_the_model(rate: float, events: int) -> None:
    """Every stage of a pipeline that holds is used as the model says, within three points in a hundred."""
    outcome = simulate(Workload(rate, events), SIZES, FIGURES, Scenario(seconds=8))
    for stage in outcome.stages:
        assert abs(stage.busiest - stage.predicted) <= USED_TOLERANCE, stage.stage


@settings(deadline=None, max_examples=40)
@given(
    workload=some.builds(
        Workload,
        rate=some.floats(200, 120_000),
        transaction_events=some.sampled_from([1, 3, 100]),
        skew=some.sampled_from([0.0, 1.1]),
    ),
    sizes=some.builds(
        replace,
        some.just(replace(SIZES, primaries=2)),
        shards=some.integers(1, 5),
        partitions=some.integers(1, 9),
        task_slots=some.integers(1, 7),
        consumers=some.integers(1, 7),
    ),
    scenario=some.builds(
        Scenario,
        seconds=some.just(0.6),
        burst=some.just(1.5),
        even=some.booleans(),
        down=some.sampled_from([0.0, 0.3]),
        seed=some.integers(0, 2**32),
    ),
)
def test_nothing_is_lost_or_made(workload: Workload, sizes: Sizes, scenario: Scenario) -> None:
    """What arrived was delivered or waits, whether the pipeline holds or not, and whatever fails (CD-110)."""
    outcome = simulate(workload, sizes, FIGURES, scenario)
    assert outcome.arrived == outcome.delivered + outcome.queued
    assert outcome.arrived > 0


def test_a_seed_repeats_its_outcome() -> None:
    """The same seed gives the same outcome to the last figure, another seed another one."""
    outcomes = [
        simulate(Workload(20_000, 10, skew=0.5), SIZES, FIGURES, Scenario(seconds=1, down=0.2, seed=seed))
        for seed in (7, 7, 8)
    ]
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_skew_wears_one_shard_out() -> None:
    """The same rate on skewed keys uses one walsender, engine and consumer more; in the end their queues grow."""
    even, skewed = (
        simulate(Workload(33_000, skew=skew), replace(SIZES, vcpu=16), FIGURES, Scenario(seconds=3))
        for skew in (0.0, 1.6)
    )
    for stage in ("walsender", "engine", "consumer"):
        assert shard(skewed, stage) > shard(even, stage) + 0.02
    assert even.sustainable
    assert not simulate(Workload(70_000, skew=2.0), replace(SIZES, vcpu=32), FIGURES, Scenario(seconds=2)).sustainable


def test_bursts_lengthen_the_tail() -> None:
    """At the same mean rate a pipeline near its limit has longer queues while a burst lasts."""
    calm, bursts = (
        simulate(Workload(24_000), replace(SIZES, vcpu=8), FIGURES, Scenario(seconds=4, burst=burst))
        for burst in (1.0, 1.9)
    )
    assert bursts.p99_ms > 2 * calm.p99_ms
    assert bursts.p50_ms >= calm.p50_ms
    assert bursts.arrived == pytest.approx(calm.arrived, rel=0.02)


def test_a_shard_that_is_down_delays_its_own_events_alone() -> None:
    """Its events wait in the log; those of the other shards are as quick as ever, so that the median stays."""
    calm, failed = (
        simulate(Workload(15_000), replace(SIZES, shards=4), FIGURES, Scenario(seconds=6, down=down))
        for down in (0.0, 1.0)
    )
    assert failed.p99_ms > calm.p99_ms + 500
    assert failed.p50_ms < calm.p50_ms + 1
    assert failed.sustainable


@given(events=some.integers(0, 5000), buckets=some.integers(1, 30), seed=some.integers(0, 2**32))
def test_a_parcel_is_cut_into_all_of_its_events(events: int, buckets: int, seed: int) -> None:
    """Shares are met by chance, their sum is not."""
    weights = [place + 1 for place in range(buckets)]
    parts = split(events, tuple(weight / sum(weights) for weight in weights), Random(seed))
    assert sum(parts) == events
    assert min(parts) >= 0


@pytest.mark.parametrize("mean", [0.3, 5.0, 400.0])
def test_arrivals_are_as_many_as_expected(mean: float) -> None:
    """Mean and variance of a Poisson distribution are equal, for few arrivals and for many."""
    chance = Random(3)
    drawn = [poisson(mean, chance) for _ in range(20_000)]
    average = sum(drawn) / len(drawn)
    assert average == pytest.approx(mean, rel=0.05)
    assert sum((each - average) ** 2 for each in drawn) / len(drawn) == pytest.approx(mean, rel=0.1)
