"""The measurement of the engines: its arithmetic, its judge, its ratios, its options."""

import random
from pathlib import Path

import pytest
import typer

from stack.cdc_bench import command, connect_settings
from stack.cdc_bench.figures import Percentiles, Sample, drain_rate, processor_seconds, steady_rate
from stack.cdc_bench.judge import Judge
from stack.cdc_bench.latency import Loop, latency
from stack.cdc_bench.load import Start, parse
from stack.cdc_bench.outcome import Drain, Latency, Limit, Outcome
from stack.cdc_bench.plan import PACES, Contender, Plan, Shape
from stack.cdc_bench.report import CdcReport

_NAMES = ("native", "debezium", "debezium_default")


def test_percentiles_are_times_that_were_measured() -> None:
    """By nearest rank, in any order; of one time every percentile is that time."""
    times = [float(number) for number in range(1, 1001)]
    random.Random(1).shuffle(times)
    assert Percentiles.of(times) == Percentiles(500, 990, 999, 1000)
    assert Percentiles.of([7.0]) == Percentiles(7, 7, 7, 7)


def test_percentiles_of_rounds_are_medians_of_each() -> None:
    """The best p50 and the best p99 may be of different rounds."""
    rounds = [Percentiles(1, 9, 9, 9), Percentiles(2, 8, 10, 30), Percentiles(3, 7, 11, 20)]
    assert Percentiles.median_of(rounds) == Percentiles(2, 8, 10, 20)


def test_a_drain_counts_from_the_first_record_and_its_second_half_from_the_middle() -> None:
    """So that neither a start nor a compiler at work is charged where it is not meant."""
    times = [*range(0, 1000, 100), *range(1000, 1100, 10)]
    assert drain_rate(times) == round(20 * 1000 / 1090)
    assert steady_rate(times) == round(10 * 1000 / 90)


def test_processor_time_is_interpolated_between_samples() -> None:
    """What was used before the first record is not a record's."""
    samples = [Sample(10.0, 5.0, 1), Sample(11.0, 6.0, 1), Sample(13.0, 10.0, 1)]
    assert processor_seconds(samples, 10.5, 12.0) == pytest.approx(2.5)
    assert processor_seconds(samples, 0, 99) == 5


def _key(name: str) -> bytes:
    return b'{"id":"%s"}' % name.encode()


@pytest.mark.parametrize(
    ("records", "verdict"),
    [
        (["r-0-1-1", "r-0-1-2", "r-0-2-1"], (0, 0, 0)),
        (["r-0-1-1", "r-0-2-1"], (1, 0, 0)),
        (["r-0-1-1", "r-0-1-2", "r-0-2-1", "r-0-1-1"], (0, 1, 0)),
        (["r-0-1-2", "r-0-1-1", "r-0-2-1"], (0, 0, 1)),
        (["r-0-2-1", "r-0-1-1", "r-0-1-2"], (0, 0, 2)),
        (["r-0-1-1", "r-0-1-2", "r-0-2-1", "r-0-3-1"], (0, 1, 0)),
    ],
    ids=["right", "lost", "twice", "event first", "transaction first", "never committed"],
)
def test_the_judge_of_the_drain_sees_what_is_wrong(records: list[str], verdict: tuple[int, int, int]) -> None:
    """Each row once and, within a partition, in the order of its client's commits."""
    judge = Judge(["r-0-1-1", "r-0-1-2", "r-0-2-1"])
    for at, name in enumerate(records):
        judge.note(0, _key(name), at)
    assert (judge.lost, judge.duplicates, judge.reordered) == verdict


def test_the_order_of_two_partitions_is_not_compared() -> None:
    """Kafka promises none, and neither does an engine."""
    judge = Judge(["r-0-1-1", "r-0-2-1"])
    judge.note(1, _key("r-0-2-1"), 0)
    judge.note(0, _key("r-0-1-1"), 1)
    assert (judge.lost, judge.duplicates, judge.reordered) == (0, 0, 0)


def test_starts_are_read_from_the_generators_log() -> None:
    """Client, number, time, script, end, lag; the time counts from the intended start."""
    (start,) = parse("pace", ["3 7 6500 0 1795771642 500000 1500"])
    assert start.record == "pace-3-7-1"
    assert start.committed == 1795771642.5
    assert start.intended == pytest.approx(1795771642.4935)
    assert start.late == 0.0015


def test_latency_counts_from_the_intended_start() -> None:
    """What waited for its turn is charged with the wait, and is told apart (coordinated omission)."""
    starts = [Start("p-0-1-1", 100.0, 0.0, 100.001), Start("p-0-2-1", 100.0, 0.05, 100.052)]
    loop = Loop(10, 1, starts, {"p-0-1-1": 100.002, "p-0-2-1": 100.053})
    found = latency(loop, {"p-0-1-1": 100_001, "p-0-2-1": 100_053})
    assert found is not None
    assert (found.samples, found.late, found.reached) == (2, 1, 2)
    assert found.from_intended == Percentiles(2, 53, 53, 53)
    assert found.from_commit == Percentiles(1, 1, 1, 1)
    assert found.commit == Percentiles(1, 52, 52, 52)
    assert latency(Loop(10, 1, starts, {}), {}) is None


def _drain(rate: int, **more: int) -> Drain:
    counts = {"lost": 0, "duplicates": 0, "reordered": 0, **more}
    return Drain(rate, 2 * rate, 3.0, 20.0, 4.0, 8.0, 3.0, rate // 100, 400, **counts, others_percent=5.0)


def _latency(p99: float) -> Latency:
    times = Percentiles(1, p99, 2 * p99, 3 * p99)
    return Latency(1000, 999.0, 0, 10, times, times, times, times)


def _report(**lost: int) -> CdcReport:
    plan = Plan((Shape("single", 100, 1), Shape("batch", 10, 100)), (*_NAMES, "limit"), 3, PACES, 2000, "none")
    rates = {"native": (8000, 9000, 10000), "debezium": (3000, 2000, 4000), "debezium_default": (1000, 1000, 1000)}
    outcomes: dict[Contender, Outcome] = {}
    for name in _NAMES:
        drains = {shape.name: [_drain(rate) for rate in rates[name]] for shape in plan.shapes}
        outcomes[name] = Outcome(name, drains, {"1000": [_latency(rate / 1000) for rate in rates[name]]})
    outcomes["native"].drains["batch"].append(_drain(9000, **lost))
    return CdcReport(plan, outcomes, {"single": [Limit(10_000, 90_000), Limit(12_000, 80_000)]})


def test_the_report_of_the_engines_has_medians_ratios_and_every_round() -> None:
    """What is compared was measured in turn in one run."""
    told = _report().as_dict()
    native = told["native"]
    assert isinstance(native, dict)
    assert (native["rate"], native["lost"], native["peak_rss_mb"]) == (9000, 0, 90)
    assert len(native["shapes"]["single"]["rounds"]) == 3
    assert native["latency_ms"]["1000"]["from_intended"]["p99"] == 9
    assert told["ratio_vs_debezium"] == 3
    assert told["ratio_vs_limit"] == round(9000 / 11_000, 3)
    assert told["latency_ratio"] == round(3 / 9, 3)
    assert told["latency_ratios"] == {"100": None, "1000": round(3 / 9, 3), "half": None}
    ratios = told["ratios"]
    assert isinstance(ratios, dict)
    assert ratios["single"]["vs_debezium_default"] == 9
    assert ratios["batch"]["vs_limit"] is None


@pytest.mark.parametrize("count", ["lost", "duplicates", "reordered"])
def test_one_record_lost_repeated_or_misplaced_by_our_engine_fails_the_measurement(count: str) -> None:
    """In any round, of any shape."""
    assert _report().ok
    assert not _report(**{count: 1}).ok


def test_the_drawing_is_written_in_the_form_of_its_suffix(tmp_path: Path) -> None:
    """Also where paces and limits are missing."""
    from stack.cdc_bench import plot  # noqa: PLC0415 - as the command imports it: only when it is asked for

    for suffix, begin in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        file = tmp_path / f"figures{suffix}"
        plot.draw(_report(), file)
        assert file.read_bytes().startswith(begin)


def _plan(**given: object) -> Plan:
    options = {
        "shapes": "single,batch", "transactions": None, "events": None, "size": 300, "rounds": None, "latency": True,
        "seconds": None, "engines": "native,limit", "highest_rate": 2000, "compression": "none", "quick": False,
    }  # fmt: skip
    return command.plan(**{**options, **given})  # type: ignore[arg-type]


def test_each_round_begins_with_another_engine() -> None:
    """So that none is always the first, or the last, on a machine that changes."""
    plan = _plan(engines="native,debezium,debezium_default")
    assert [plan.order(number)[0] for number in range(4)] == [*_NAMES, "native"]
    assert all(sorted(plan.order(number)) == sorted(_NAMES) for number in range(4))
    assert "limit" not in _plan().order(0)


def test_options_make_the_plan() -> None:
    """A shape of the user's own takes the place of the shipped ones."""
    assert [each.name for each in _plan(shapes="batch").shapes] == ["batch"]
    assert _plan(transactions=10, events=5, size=900).shapes == (Shape("custom", 10, 5, 900),)
    assert (_plan().rounds, _plan(quick=True).rounds, _plan(quick=True, rounds=2).rounds) == (3, 1, 2)
    assert _plan(latency=False).paces == ()
    assert [(each.name, each.seconds) for each in _plan(seconds=2).paces] == [("100", 2), ("1000", 2), ("half", 2)]


@pytest.mark.parametrize(
    "given",
    [{"shapes": "triple"}, {"engines": "native,flume"}, {"engines": "debezium,limit"}, {"compression": "rar"}],
    ids=["shape", "engine", "limit alone", "compression"],
)
def test_an_option_that_is_not_understood_is_refused(given: dict[str, str]) -> None:
    """Before anything is started."""
    with pytest.raises(typer.BadParameter):
        _plan(**given)


def test_a_worker_of_a_turn_has_a_group_and_topics_of_its_own() -> None:
    """What an earlier turn has stored is not taken up."""
    given = "group.id=g\nconfig.storage.topic=c\noffset.storage.topic=o\nstatus.storage.topic=s\nlisteners=l\n"
    assert connect_settings.worker(given, "x") == given.replace("\n", "-x\n").replace("l-x", "l")


def test_the_settings_of_the_connectors_producer_are_found_in_the_log() -> None:
    """Not those of the worker's own producers."""
    block = "INFO ProducerConfig values: \n\tacks = {}\n\tclient.id = {}\n\n2026 WARN other\n"
    log = block.format("1", "worker-offsets") + block.format("-1", "connector-producer-x-0")
    assert connect_settings.producer_settings(log)["acks"] == "-1"
    assert connect_settings.producer_settings(block.format("1", "worker-offsets")) == {}
