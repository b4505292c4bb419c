"""The processor on a real broker: killed, joined, left and frozen under a stream, it loses and repeats nothing."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

Record = Callable[..., bytes]
Wait = Callable[..., Any]

CARS = "filtered-car-created-events"
RATE = 2000
RECEIVED = "headwater_processor_received_total"


def exactly(ground: Any, wait_for: Wait, written: list[str]) -> None:
    """Check that a read-committed reader finds every id once, after waiting for as many records as were written."""
    wait_for(lambda: len(ground.committed(ground.output(CARS))) >= len(written), "everything has come out", 90)
    found = Counter(ground.ids(CARS))
    missing = [event_id for event_id in written if event_id not in found]
    repeated = {event_id: count for event_id, count in found.items() if count > 1}
    assert (len(missing), repeated, len(found)) == (0, {}, len(written))


def at_least(instance: Any, wait_for: Wait, count: int) -> None:
    """Wait until an instance has committed so many records."""
    wait_for(lambda: instance.figure(RECEIVED) >= count, f"{count} records are through", 90)


@pytest.mark.slow
def test_kill_in_the_middle_of_a_stream_loses_and_repeats_nothing(ground: Any, wait_for: Wait, record: Record) -> None:
    """Three times `kill -9` and a new process: 0 missing and 0 repeated for a read-committed reader (FL-60)."""
    ground.stage.create_topics()
    with ground.streaming(record, RATE) as written:
        for _ in range(3):
            instance = ground.start()
            at_least(instance, wait_for, RATE)
            instance.kill()
        at_least(ground.start(), wait_for, RATE)
    exactly(ground, wait_for, written)


@pytest.mark.slow
def test_members_that_come_and_go_share_partitions_and_lose_and_repeat_nothing(
    ground: Any, wait_for: Wait, record: Record
) -> None:
    """A second instance takes some of the partitions, the first leaves, and nothing is missing or repeated (FL-60)."""
    ground.stage.create_topics()
    with ground.streaming(record, RATE) as written:
        first = ground.start()
        at_least(first, wait_for, RATE)
        second = ground.start()
        at_least(second, wait_for, RATE)
        shares = [each.events("partitions_assigned")[-1]["partitions"] for each in (first, second)]
        assert sorted(shares[0] + shares[1]) == [0, 1, 2]
        assert all(shares)
        first.process.terminate()
        assert first.process.wait(30) == 0
        at_least(second, wait_for, int(second.figure(RECEIVED)) + RATE)
        assert second.events("partitions_assigned")[-1]["partitions"] == [0, 1, 2]
    exactly(ground, wait_for, written)


@pytest.mark.slow
def test_a_frozen_member_cannot_write_what_its_successor_writes(ground: Any, wait_for: Wait, record: Record) -> None:
    """It is thrown out while it stands still, and what it had begun is taken back when it goes on (FL-60)."""
    ground.stage.create_topics()
    with ground.streaming(record, RATE) as written:
        first = ground.start()
        at_least(first, wait_for, RATE)
        first.freeze()
        second = ground.start()
        at_least(second, wait_for, len(written))
        first.thaw()
        wait_for(lambda: len(first.events("partitions_assigned")) > 1, "the first is a member again")
        at_least(second, wait_for, int(second.figure(RECEIVED)) + RATE // 2)
    exactly(ground, wait_for, written)


def test_what_cannot_be_read_is_kept_byte_exact_and_counted(ground: Any, wait_for: Wait, record: Record) -> None:
    """Dead letters carry key, value, reason and place; the stream goes on, and the figures say all of it (FL-62)."""
    ground.stage.create_topics()
    instance = ground.start()
    garbage = [b"", b"{", b'{"id": 5}', b"\xff\xfe\x00", record("far", __ts_ms="soon")]
    others = [record("taken"), record("left", event_type="Other"), None]
    ground.stage.produce([*garbage, *others])
    wait_for(lambda: instance.figure(RECEIVED) == len(garbage) + len(others), "all are through")
    letters = ground.committed(ground.dead)
    assert [letter.value() for letter in letters] == garbage
    for letter in letters:
        headers = dict(letter.headers())
        assert letter.key() == b'{"id":"k"}'
        assert headers["dlq-topic"] == ground.stage.raw.encode()
        origin = ground.stage.read_at(ground.stage.raw, int(headers["dlq-partition"]), int(headers["dlq-offset"]))
        assert origin.value() == letter.value()
    assert ground.ids(CARS) == ["taken"]
    assert instance.figure("headwater_processor_dead_letters_total") == len(garbage)
    assert instance.figure("headwater_processor_dropped_total") == 2
    assert instance.figure('headwater_processor_matched_total{filter="car-created-filter"}') == 1
    assert instance.figure("headwater_processor_processing_seconds_count") == len(garbage) + len(others)
    assert instance.figure('headwater_processor_errors_total{kind="session_lost"}') == 0
    assert (instance.get("/readyz").status_code, instance.get("/livez").status_code) == (200, 200)
    assert json.loads(instance.get("/readyz").text)["filters"] == 4
