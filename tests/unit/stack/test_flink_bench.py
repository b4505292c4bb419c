"""The measurement of the Flink job: what it reads, what must come out, and that its judge sees what is wrong."""

import json

import pytest

from stack.flink_backlog import CYCLE, Route, expected, four_filters, hundred_filters, number_of, records
from stack.flink_report import FlinkReport, Found, Variant, compare


def test_records_have_the_form_of_the_contract() -> None:
    """The engine's key, nine fields, a header document as text, some 500 bytes (CD-41, CD-47)."""
    for number, (key, value) in enumerate(records(2 * CYCLE)):
        fields = json.loads(value)
        assert json.loads(key) == {"id": fields["id"]}
        assert number_of(key) == number_of(fields["id"].encode()) == number
        assert json.loads(fields["header_data"])["uuid"] == fields["id"]
        assert len(fields) == 9
        assert 450 <= len(value) <= 600


def test_a_hundred_filters_route_as_many_records_as_four() -> None:
    """So their rates can be compared; some records belong nowhere."""
    (four, four_routes), (hundred, hundred_routes) = four_filters(), hundred_filters()
    assert (len(four.filters), len(hundred.filters)) == (4, 100)
    routed = [sum(len(expected(routes, place)) for place in range(CYCLE)) for routes in (four_routes, hundred_routes)]
    assert routed[0] == routed[1] < CYCLE


@pytest.mark.parametrize(
    ("change", "lost", "duplicates"),
    [({}, 0, 0), ({(0, 0): 0}, 1, 0), ({(0, 0): 2}, 0, 1), ({(0, 1): 1}, 0, 1), ({(1, 1): 0, (0, 1): 3}, 1, 3)],
    ids=["right", "lost", "twice", "astray", "lost and astray"],
)
def test_the_judge_sees_what_is_lost_repeated_or_astray(
    change: dict[tuple[int, int], int], lost: int, duplicates: int
) -> None:
    """Each record is counted in each topic, and compared with where it belongs."""
    variant = Variant("v", (Route("even", lambda _one: True), Route("odd", lambda _one: True)), ())
    wanted = [[place % 2] for place in range(CYCLE)]
    counts = [bytearray(int(number % 2 == topic) for number in range(3 * CYCLE)) for topic in range(2)]
    for (topic, number), times in change.items():
        counts[topic][number] = times
    compare(variant, wanted, Found(counts))
    assert (variant.lost, variant.duplicates) == (lost, duplicates)


def test_the_report_has_medians_and_their_ratios() -> None:
    """What is compared was measured in one run."""
    variants = tuple(
        Variant(name, (), (), rates=rates, processor_us=[1.0])
        for name, rates in (("passthrough", [90, 100, 200]), ("filters_4", [80]), ("filters_100", [60, 80]))
    )
    report = FlinkReport(1000, variants).as_dict()
    assert (report["passthrough"], report["filters_4"], report["filters_100"]) == (100, 80, 70)
    assert (report["filters_4_of_passthrough"], report["filters_100_of_filters_4"]) == (0.8, 0.88)
    assert report["ok"]
