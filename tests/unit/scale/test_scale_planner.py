"""The model of scale and the planner: what grows with what, and that a plan is the smallest with its headroom."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from stack.errors import StackError
from stack.scale.figures import load
from stack.scale.keys import grouped, shares
from stack.scale.limits import Sizes, Workload, catch_up_seconds, costs, limits
from stack.scale.needs import dollars, needs
from stack.scale.planner import MOST_SHARDS, one_less, plan

FIGURES = load(Path(__file__).with_name("round_figures.toml"))
SIZES = Sizes(2, 16, 4, 24, 6, "express.m7g.2xlarge", 6, 12)
RATES = some.floats(100, 2_000_000)
EVENTS = some.integers(1, 200)


def used(workload: Workload, sizes: Sizes) -> dict[str, float]:
    """Return the utilisation by stage."""
    return {limit.stage: limit.utilisation for limit in limits(workload, sizes, FIGURES)}


@given(rate=RATES, events=EVENTS, more=some.floats(1.01, 10))
def test_every_stage_is_used_more_at_a_higher_rate(rate: float, events: int, more: float) -> None:
    """Utilisation grows in proportion, and the capacity stays what it is."""
    low, high = (limits(Workload(rate * factor, events), SIZES, FIGURES) for factor in (1, more))
    for one, other in zip(low, high, strict=True):
        assert other.utilisation == pytest.approx(one.utilisation * more)
        assert other.capacity == pytest.approx(one.capacity)


@given(rate=RATES, events=EVENTS, name=some.sampled_from(["primaries", "vcpu", "partitions", "brokers", "consumers"]))
def test_more_of_a_part_uses_no_stage_more(rate: float, events: int, name: str) -> None:
    """Twice as many of one part, the others as they are."""
    before = used(Workload(rate, events), SIZES)
    after = used(Workload(rate, events), replace(SIZES, **{name: 2 * getattr(SIZES, name)}))
    assert all(after[stage] <= before[stage] * (1 + 1e-9) for stage in before)


@given(events=EVENTS, shards=some.integers(2, 100))
def test_no_number_of_shards_goes_beyond_the_decoding_of_the_whole_log(events: int, shards: int) -> None:
    """Each walsender of a primary decodes all of its log, so that more slots help less and less."""
    sizes = replace(SIZES, primaries=1, vcpu=192, shards=shards)
    found = {limit.stage: limit.capacity for limit in limits(Workload(1000, events), sizes, FIGURES)}
    fewer = {
        limit.stage: limit.capacity
        for limit in limits(Workload(1000, events), replace(sizes, shards=max(2, shards // 2)), FIGURES)
    }
    ceiling = 1e6 / FIGURES.decode_us.at(events)
    assert fewer["walsender"] <= found["walsender"] < ceiling
    assert found["walsender"] < 2 * fewer["walsender"]


@settings(deadline=None)
@given(
    workload=some.builds(
        Workload,
        rate=RATES,
        transaction_events=EVENTS,
        record_bytes=some.sampled_from([None, 200.0, 5000.0]),
        copies=some.sampled_from([0.0, 0.5, 1.0, 3.0]),
    ),
    headroom=some.floats(0, 0.6),
)
def test_a_plan_leaves_its_headroom_and_one_unit_less_does_not(workload: Workload, headroom: float) -> None:
    """Every part of it is used to at most what is allowed; the bottleneck cannot be smaller."""
    made = plan(workload, FIGURES, headroom)
    assert all(limit.utilisation <= 1 - headroom + 1e-6 for limit in made.limits)
    assert made.sizes.shards <= MOST_SHARDS
    assert made.sizes.partitions % made.sizes.task_slots == 0
    assert made.sizes.brokers % 3 == 0
    assert made.sizes.consumers <= made.sizes.partitions
    if (smaller := one_less(made, FIGURES)) is not None:
        limit, sizes = smaller
        assert used(made.workload, sizes)[limit.stage] > 1 - headroom


def test_larger_transactions_need_fewer_primaries() -> None:
    """A million events a second are no million commits a second."""
    found = [plan(Workload(1_000_000, events), FIGURES).sizes.primaries for events in (1, 10, 100)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0]
    commits = [limit.by for limit in plan(Workload(1_000_000, 1), FIGURES).limits if limit.stage == "primary"]
    assert commits == ["commits"]


def test_walsenders_need_a_processor_each() -> None:
    """Sizes without one left for writes are refused with what to change."""
    with pytest.raises(ValueError, match="fewer shards, or more vCPU"):
        costs(Workload(1000), replace(SIZES, vcpu=4), FIGURES)


def test_skewed_keys_load_one_shard_and_one_partition_more() -> None:
    """What the busiest unit carries grows with the skew; a skew that no size can carry is refused (CD-112)."""
    even, skewed = (used(Workload(50_000, skew=skew), SIZES) for skew in (0.0, 1.0))
    for stage in ("walsender", "engine", "partition", "flink", "consumer"):
        assert skewed[stage] > even[stage] * 1.01
    assert skewed["primary"] == even["primary"]
    with pytest.raises(StackError, match="one key is too much") as refused:
        plan(Workload(1_000_000, skew=1.5), FIGURES)
    assert "side by side" in refused.value.remedy


@given(buckets=some.integers(1, 60), skew=some.sampled_from([0.0, 0.7, 1.2]), readers=some.integers(1, 20))
@settings(deadline=None)
def test_shares_are_of_one_whole(buckets: int, skew: float, readers: int) -> None:
    """However keys are spread and partitions dealt out, nothing is left over."""
    spread = shares(buckets, skew, "partition")
    assert len(spread) == buckets
    assert sum(spread) == pytest.approx(1)
    assert sum(grouped(spread, min(readers, buckets))) == pytest.approx(1)


def test_a_busier_shard_needs_longer_to_be_level_again() -> None:
    """It works off what it missed, and what it is sent again, in the time that is left; at its limit it never does."""
    sizes = replace(SIZES, vcpu=64)
    found = [catch_up_seconds(limits(Workload(rate, 100), sizes, FIGURES), 5) for rate in (20_000, 100_000, 400_000)]
    assert 0 < found[0] < found[1] < found[2] == float("inf")


@given(rate=RATES, events=EVENTS)
@settings(deadline=None, max_examples=30)
def test_what_a_plan_needs_grows_with_its_rate(rate: float, events: int) -> None:
    """Ten times the events are ten times the storage, and cost more."""
    small, large = (plan(Workload(each, events), FIGURES) for each in (rate, 10 * rate))
    moved, more = needs(small, FIGURES), needs(large, FIGURES)
    assert more.stored_day_gb == pytest.approx(10 * moved.stored_day_gb)
    assert more.kept_gb == pytest.approx(10 * moved.kept_gb)
    prices, higher = dollars(small, FIGURES), dollars(large, FIGURES)
    assert higher["total"] > prices["total"] == sum(price for name, price in prices.items() if name != "total")
