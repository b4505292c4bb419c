"""Two producers take turns at one topic, and nobody who reads it can tell."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from cdc.ledger import Span
from cdc.lsn import Lsn, Position
from cdc.records import Record, TopicName
from cdc.sink import KafkaSink

KEYS = 40


def send(sink: KafkaSink, topic: str, span: Span, numbers: range, *, fast: bool) -> None:
    """Send numbered records, as the loop does: some, then a poll."""
    for number in numbers:
        key = b'{"id":"%d"}' % (number % KEYS)
        span.pending += 1
        sink.send(Record(TopicName(topic), key, b"%d" % number, Position(Lsn(1), number), []), span)
        # A poll with a pause returns with the first report, in bulk only after the linger: few, then.
        if not fast and number % 2:
            sink.poll(0.05)
        elif number % 50 == 49:
            sink.poll(0)


def test_order_holds_where_one_producer_takes_over(kafka_bootstrap: str, new_topic: Callable[..., Any]) -> None:
    """Each key's records are there once and in their order, over every change of producers (CD-112)."""
    topic, span = new_topic(), Span(Lsn(0))
    sink = KafkaSink(kafka_bootstrap, {}, linger_ms=0.0)
    at_work = set()
    sent = 0
    try:
        deadline = time.monotonic() + 60
        for _ in range(3):
            for fast in (True, False):
                while (sink._producer is sink._bulk) is not fast:
                    assert time.monotonic() < deadline
                    more = 2_000 if fast else 50
                    send(sink, topic.name, span, range(sent, sent + more), fast=fast)
                    sent += more
                at_work.add(sink._producer)
        while span.pending:
            assert time.monotonic() < deadline
            sink.poll(0.1)
    finally:
        sink.abandon()
    assert len(at_work) == 2
    found: dict[str, list[int]] = {}
    for record in topic.records():
        found.setdefault(record.key, []).append(int(record.value))
    assert found == {str(key): list(range(key, sent, KEYS)) for key in range(KEYS)}


@pytest.mark.parametrize("given", [{"linger.ms": "0"}, {"queue.buffering.max.ms": "1"}])
def test_who_sets_the_linger_has_it(kafka_bootstrap: str, new_topic: Callable[..., Any], given: dict[str, str]) -> None:
    """With a linger of the user's own there is one producer."""
    topic, span = new_topic(), Span(Lsn(0))
    sink = KafkaSink(kafka_bootstrap, given, linger_ms=0.0)
    try:
        send(sink, topic.name, span, range(20_000), fast=True)
        assert sink._bulk is None
    finally:
        sink.abandon()
