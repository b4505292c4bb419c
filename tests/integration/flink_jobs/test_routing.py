"""The shipped filters on real Flink and Kafka: what goes where, in which form, and what is kept of the rest."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

Record = Callable[..., bytes]
Wait = Callable[..., Any]

CARS = "filtered-car-created-events"


def ids_of(stage: Any, base: str) -> set[str]:
    """Return the ids in one filtered topic."""
    return set(stage.ids(stage.filtered(base)))


def pass_through(stage: Any, wait_for: Wait, record: Record, *values: bytes | None) -> None:
    """Write records, then one marker to each partition, and wait until all markers have come out."""
    markers = [uuid4().hex for _ in range(3)]
    stage.produce(values)
    for marker in markers:
        stage.produce([record(marker)], key=marker.encode())
    # The records share one key and so one partition; a marker of their own key comes out after them.
    last = uuid4().hex
    stage.produce([record(last)])
    wait_for(lambda: {*markers, last} <= ids_of(stage, CARS), "the markers are through")


@pytest.mark.parametrize(
    ("event_type", "base"),
    [
        ("CarCreated", CARS),
        ("LoanCreated", "filtered-loan-created-events"),
        ("LoanPaymentSubmitted", "filtered-loan-payment-submitted-events"),
        ("CarServiceDone", "filtered-service-events"),
    ],
)
def test_inserts_and_snapshot_rows_reach_the_topic_of_their_type_and_no_other(
    routing: Any, wait_for: Wait, record: Record, event_type: str, base: str
) -> None:
    """`c` and `r` are routed; updates, deletes and tombstones are not (FL-17, FL-18, CD-48, CD-120)."""
    by_op = {op: f"{event_type}-{op}-{uuid4().hex}" for op in "crud"}
    values = [record(event_id, event_type=event_type, __op=op) for op, event_id in by_op.items()]
    pass_through(routing, wait_for, record, *values, None)
    wait_for(lambda: {by_op["c"], by_op["r"]} <= ids_of(routing, base), "both are there")
    everywhere = [event_id for name in _bases() for event_id in routing.ids(routing.filtered(name))]
    assert sorted(event_id for event_id in everywhere if event_id in by_op.values()) == sorted([by_op["c"], by_op["r"]])


def test_key_and_value_have_the_form_of_the_contract(routing: Any, wait_for: Wait, record: Record) -> None:
    """The key is the id; the value has the eight columns, unchanged, and nothing else (FL-41, FL-42, FL-46)."""
    event_id = uuid4().hex
    pass_through(routing, wait_for, record, record(event_id, saved_date=None, unknown=[1, {"a": None}]))
    (found,) = [each for each in routing.read(routing.filtered(CARS)) if each.key() == event_id.encode()]
    assert json.loads(found.value()) == {
        "id": event_id,
        "event_name": "Car Created",
        "event_type": "CarCreated",
        "created_date": "2026-11-21T10:00:00.123456Z",
        "saved_date": None,
        "header_data": '{"uuid": "x"}',
        "__op": "c",
        "__table": "event_headers",
    }
    assert list(json.loads(found.value())) == [
        "id", "event_name", "event_type", "created_date", "saved_date", "header_data", "__op", "__table"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 65536,
        '{"a": "quotes \\" and \\\\ backslash", "b": "line\\nbreak"}',
        "'; DROP TABLE event_headers; --",
        "Grüße, 世界, \U0001f600, \u2028, \x7f, \t",
    ],
    ids=["empty", "64 KiB", "escapes", "SQL", "Unicode"],
)
def test_texts_come_out_as_they_went_in(routing: Any, wait_for: Wait, record: Record, text: str) -> None:
    """Header, name and id are delivered unchanged, whatever is in them (CD-49, CD-117)."""
    event_id = uuid4().hex + text[:200]
    pass_through(routing, wait_for, record, record(event_id, header_data=text, event_name=text))
    (found,) = [each for each in routing.read(routing.filtered(CARS)) if each.key() == event_id.encode()]
    fields = json.loads(found.value())
    assert (fields["id"], fields["header_data"], fields["event_name"]) == (event_id, text, text)


@pytest.mark.parametrize("event_type", [None, "", " ", "   ", "carcreated", "CarCreated ", "Other"])
def test_a_type_that_is_blank_or_unknown_matches_nothing(
    routing: Any, wait_for: Wait, record: Record, event_type: str | None
) -> None:
    """It is in no topic, no dead letter either, and the job goes on (CD-118)."""
    event_id = uuid4().hex
    pass_through(routing, wait_for, record, record(event_id, event_type=event_type))
    assert all(event_id not in ids_of(routing, base) for base in _bases())
    assert not any(event_id.encode() in (letter.value() or b"") for letter in routing.read(routing.dead))


def test_a_number_where_text_was_expected_is_taken_as_text(routing: Any, wait_for: Wait, record: Record) -> None:
    """Processors keep running, and the record is routed (CD-116)."""
    event_id = uuid4().hex
    pass_through(routing, wait_for, record, record(event_id, event_name=5, created_date=1.50, header_data=True))
    (found,) = [each for each in routing.read(routing.filtered(CARS)) if each.key() == event_id.encode()]
    fields = json.loads(found.value())
    assert (fields["event_name"], fields["created_date"], fields["header_data"]) == ("5", "1.5", "true")


def test_what_cannot_be_read_is_kept_byte_exact_and_counted(routing: Any, wait_for: Wait, record: Record) -> None:
    """Each goes to the dead-letter topic with key, value, reason and origin; the job goes on (FL-49, CD-119)."""
    garbage = {
        b"not json": b"not JSON",
        b"": b"empty",
        b"   ": b"empty",
        b"[]": b"not a JSON object",
        b'[{"id": "a", "event_type": "CarCreated", "__op": "c"}]': b"not a JSON object",
        b"3": b"not a JSON object",
        b"null": b"not a JSON object",
        b'"text"': b"not a JSON object",
        b'{"id": "cut': b"not JSON",
        b'{"id": "one"} {"id": "two"}': b"more than one",
        b'{"event_type": "CarCreated", "__op": "c"}': b"field id is missing",
        b'{"id": null, "event_type": "CarCreated", "__op": "c"}': b"field id is missing",
        b'{"id": 5, "event_type": "CarCreated", "__op": "c"}': b"field id is not a text",
        record("deep", event_type={"name": "CarCreated"}): b"field event_type is not a plain value",
        record("when", __ts_ms="soon"): b"field __ts_ms is not a whole number",
        record("vast", __ts_ms=10**30): b"not JSON",
        b'\x00\x00\x00\x00\x07{"id": "framed"}': b"not JSON",
        b'{"id": "\xff\xfe"}': b"not JSON",
        b"\xff\xfe\x00": b"not JSON",
    }
    before = len(routing.read(routing.dead))
    pass_through(routing, wait_for, record, *garbage)
    wait_for(lambda: len(routing.read(routing.dead)) >= before + len(garbage), "all dead letters are there")
    letters = {letter.value(): letter for letter in routing.read(routing.dead)}
    assert set(garbage) <= set(letters)
    for value, reason in garbage.items():
        headers = dict(letters[value].headers())
        assert reason in headers["dlq-reason"]
        assert headers["dlq-topic"] == routing.raw.encode()
        assert letters[value].key() == b'{"id":"k"}'
        origin = routing.read_at(routing.raw, int(headers["dlq-partition"]), int(headers["dlq-offset"]))
        assert origin.value() == value
    total = len(routing.read(routing.dead))
    status = wait_for(lambda: _status_when(routing, ignored=total), "the metrics have the count")
    assert status["dead_letters"] == total
    assert (status["state"], status["tasks_running"]) == ("RUNNING", status["tasks"])
    assert status["checkpoint"]["age_seconds"] < 60


def _status_when(stage: Any, *, ignored: int) -> dict[str, Any] | None:
    done = stage.run("status", "--json")
    assert done.returncode == 0, done.stderr
    status: dict[str, Any] = json.loads(done.stdout)
    return status if status["ignored"] == ignored else None


def _bases() -> tuple[str, ...]:
    return (
        CARS,
        "filtered-loan-created-events",
        "filtered-loan-payment-submitted-events",
        "filtered-service-events",
    )


def test_the_raw_topic_is_read_and_parsed_once_and_one_writer_serves_all_topics(routing: Any) -> None:
    """However many filters: one source, one parser, one writer beside the one of the dead letters (FL-48)."""
    (job,) = routing.jobs()
    steps = " -> ".join(routing.steps(job.id))
    assert steps.count("Source: raw-event-headers-bytes") == 1
    assert steps.count("filtered-events[") == steps.count("dead-letters[") == 2  # a writer and its committer
    # The parser and the fan-out to topics; a second parser would be a third.
    assert steps.count("Correlate[") == 2
