"""One consumer on a real broker: what it marks as handled, what it gives up on, how it stops."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer as Reader
from confluent_kafka import KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from consumers import Consumer, ConsumerSettings, Record


@pytest.fixture
def settings(kafka_bootstrap: str) -> ConsumerSettings:
    """Settings for a topic and a group that nobody else uses; the topic exists, with one partition."""
    name = uuid4().hex
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(f"t-{name}", 1, 1)])[f"t-{name}"].result(timeout=30)
    return ConsumerSettings(
        kafka_bootstrap_servers=kafka_bootstrap,
        kafka_topic=f"t-{name}",
        consumer_group_id=f"g-{name}-group",
        handler_wait_seconds=0.01,
    )


def produce(settings: ConsumerSettings, *values: bytes | None) -> None:
    """Write records and wait until the broker has them."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value in values:
        producer.produce(settings.kafka_topic, key=b'{"id":"k"}', value=value)
    assert producer.flush(30) == 0


def event(event_id: str) -> bytes:
    """Return the value of a record."""
    return json.dumps({"id": event_id, "header_data": "{}"}).encode()


@contextmanager
def running(settings: ConsumerSettings, handler: Callable[[Record, Message], None]) -> Iterator[None]:
    """Run a consumer in a thread for as long as the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=Consumer(settings, handler).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def wait_for(question: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is true."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not question():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.02)


def committed(settings: ConsumerSettings) -> int:
    """Return the group's committed offset, 0 when it has none."""
    reader = Reader({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.consumer_group_id})
    offset = reader.committed([TopicPartition(settings.kafka_topic, 0)], timeout=10)[0].offset
    reader.close()
    return max(offset, 0)


def test_offsets_are_committed_after_handling_and_tombstones_pass(settings: ConsumerSettings) -> None:
    """Each record is handled once, in order; a tombstone is no record (FL-84, CD-48)."""
    produce(settings, event("a"), None, event("b"))
    seen: list[str] = []
    with running(settings, lambda record, _message: seen.append(record.id)):
        wait_for(lambda: seen == ["a", "b"])
    assert committed(settings) == 3


def test_a_record_in_hand_when_the_consumer_dies_comes_again(settings: ConsumerSettings) -> None:
    """An offset is not marked while its handler still works (FL-84)."""
    produce(settings, event("a"))
    entered, leave = threading.Event(), threading.Event()

    def slow(_record: Record, _message: Message) -> None:
        entered.set()
        leave.wait(30)

    with running(settings, slow):
        assert entered.wait(30)
        in_hand = committed(settings)
        leave.set()
    assert in_hand == 0
    assert committed(settings) == 1


def test_a_failing_record_is_tried_again_and_then_kept_byte_exact(settings: ConsumerSettings) -> None:
    """Three attempts, then the dead-letter topic of the group with key, value and origin; the rest goes on (FL-84)."""
    produce(settings, event("bad"), b"\xffnot json", event("good"))
    attempts: list[str] = []

    def handler(record: Record, _message: Message) -> None:
        attempts.append(record.id)
        if record.id == "bad":
            raise RuntimeError("cannot")

    with running(settings, handler):
        wait_for(lambda: "good" in attempts)
    assert attempts == ["bad", "bad", "bad", "good"]
    assert committed(settings) == 3
    letters = _read_all(settings, settings.dead_letter_topic, 2)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    # Created by us, not by the broker, which would give it as many partitions as any other topic.
    assert (
        len(admin.list_topics(settings.dead_letter_topic, timeout=10).topics[settings.dead_letter_topic].partitions)
        == 1
    )
    assert sorted(letter.value() or b"" for letter in letters) == sorted([event("bad"), b"\xffnot json"])
    headers = {(letter.value() or b""): dict(letter.headers() or []) for letter in letters}
    assert headers[event("bad")]["dlq-reason"] == b"RuntimeError: cannot"
    assert headers[event("bad")]["dlq-offset"] == b"0"
    assert {letter.key() for letter in letters} == {b'{"id":"k"}'}


def test_a_record_between_two_attempts_is_left_to_the_next_member(settings: ConsumerSettings) -> None:
    """Told to stop, a consumer makes no further attempt and gives nothing up: the record comes again (FL-84, FL-88)."""
    produce(settings, event("slow"))
    patient = settings.model_copy(update={"handler_attempts": 5, "handler_wait_seconds": 60.0})
    failed = threading.Event()

    def handler(_record: Record, _message: Message) -> None:
        failed.set()
        raise RuntimeError("not yet")

    began = time.monotonic()
    with running(patient, handler):
        assert failed.wait(30)
    assert time.monotonic() - began < 30
    assert committed(settings) == 0
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    assert settings.dead_letter_topic not in admin.list_topics(timeout=10).topics
    seen: list[str] = []
    with running(settings, lambda record, _message: seen.append(record.id)):
        wait_for(lambda: seen == ["slow"])


def test_a_second_member_takes_over_what_the_first_had_not_handled(settings: ConsumerSettings) -> None:
    """Two members share a group: between them every record is handled, and none is marked before (FL-80, FL-84)."""
    produce(settings, *(event(str(number)) for number in range(20)))
    seen: list[str] = []
    with running(settings, lambda record, _message: seen.append(record.id)):
        wait_for(lambda: len(seen) >= 5)
    marked = committed(settings)
    assert marked == len(seen)
    with running(settings, lambda record, _message: seen.append(record.id)):
        wait_for(lambda: len(seen) >= 20)
    assert seen == [str(number) for number in range(20)]


def _read_all(settings: ConsumerSettings, topic: str, count: int) -> list[Message]:
    reader = Reader(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": uuid4().hex,
            "auto.offset.reset": "earliest",
        }
    )
    reader.subscribe([topic])
    found: list[Message] = []
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} of {count} records in {topic}"
        message = reader.poll(0.5)
        if message is not None and message.error() is None:
            found.append(message)
    reader.close()
    return found


def test_a_topic_that_comes_later_is_waited_for_and_read_from_its_first_record(
    settings: ConsumerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record is lost while the consumer looks for its topic (FL-86)."""
    monkeypatch.setattr("consumers.consumer._TOPIC_WAIT_SECONDS", 0.1)
    late = settings.model_copy(update={"kafka_topic": f"late-{uuid4().hex}"})
    seen: list[str] = []
    with running(late, lambda record, _message: seen.append(record.id)):
        admin = AdminClient({"bootstrap.servers": late.kafka_bootstrap_servers})
        admin.create_topics([NewTopic(late.kafka_topic, 1, 1)])[late.kafka_topic].result(timeout=30)
        produce(late, event("first"))
        wait_for(lambda: seen == ["first"])


def test_a_consumer_that_goes_round_touches_its_file(settings: ConsumerSettings, tmp_path: Path) -> None:
    """A container's health is the age of that file; a handler that hangs lets it grow old."""
    alive, hangs, go_on = tmp_path / "alive", threading.Event(), threading.Event()

    def handler(_record: Record, _message: Message) -> None:
        hangs.set()
        go_on.wait(30)

    with running(settings.model_copy(update={"consumer_alive_file": alive}), handler):
        wait_for(alive.exists)
        first = alive.stat().st_mtime_ns
        wait_for(lambda: alive.stat().st_mtime_ns > first)
        produce(settings, event("stuck"))
        assert hangs.wait(30)
        before = alive.stat().st_mtime_ns
        assert not go_on.wait(1.5)
        assert alive.stat().st_mtime_ns == before
        go_on.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_logs_records_and_stops_cleanly(settings: ConsumerSettings, number: signal.Signals) -> None:
    """`python -m consumers` exits 0 on both signals, its offsets committed (FL-87, FL-88)."""
    produce(settings, event("logged"))
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers}
    arguments = ["--topic", settings.kafka_topic, "--group", settings.consumer_group_id]
    with subprocess.Popen(
        [sys.executable, "-m", "consumers", *arguments], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = (json.loads(line) for line in process.stdout)
        record = next(line for line in lines if line["event"] == "record")
        process.send_signal(number)
        assert process.wait(30) == 0
    assert record["id"] == "logged"
    assert committed(settings) == 1


def test_a_dead_letter_that_the_broker_refuses_stops_the_consumer_and_marks_nothing(settings: ConsumerSettings) -> None:
    """Better to stop than to lose: the record stays where it is (FL-84)."""
    produce(settings, b"not json")
    consumer = Consumer(settings.model_copy(update={"consumer_group_id": f"no/such group {uuid4().hex}"}), print)
    with pytest.raises(KafkaException):
        consumer.run(threading.Event())
