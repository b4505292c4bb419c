"""Events posted on a fixed timetable, and what of them a topic holds: for tests that kill things meanwhile."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
from confluent_kafka import Consumer, TopicPartition

import schemas
from stack.settings import StackSettings
from stack.sightings import end_offsets

RATE = 20
"""Events a second."""


class Poster:
    """Posts events on a fixed timetable and keeps the ids that were answered 200."""

    def __init__(self, settings: StackSettings) -> None:
        self.accepted: list[str] = []
        self._url = f"{settings.producer_url}/api/v1/events"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def posting(self) -> Iterator[None]:
        """Post for as long as the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def wait_for_more(self, count: int, seconds: float) -> None:
        """Wait until `count` further events were accepted."""
        target, deadline = len(self.accepted) + count, time.monotonic() + seconds
        while len(self.accepted) < target:
            assert time.monotonic() < deadline, f"no {count} further events accepted in {seconds} s"
            self._stop.wait(0.05)

    def _run(self) -> None:
        event = schemas.samples()["car-created"]
        with httpx.Client(timeout=30) as client:
            while not self._stop.wait(1 / RATE):
                event["eventHeader"]["uuid"] = str(uuid4())
                try:
                    answer = client.post(self._url, json=event)
                except httpx.TransportError:
                    continue  # nobody was told that this event is stored
                if answer.status_code == httpx.codes.OK:
                    self.accepted.append(event["eventHeader"]["uuid"])


def ids_in(settings: StackSettings, topic: str) -> Counter[str]:
    """Return how often each id is in a topic now; tombstones do not count."""
    reader = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "kill-test",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    ends = [end for end in end_offsets(settings.kafka_bootstrap, [topic]) if end.offset > 0]
    reader.assign([TopicPartition(topic, end.partition, 0) for end in ends])
    found: Counter[str] = Counter()
    finished = 0
    deadline = time.monotonic() + 60
    while finished < len(ends):
        assert time.monotonic() < deadline, f"{topic} could not be read to its end"
        message = reader.poll(1)
        if message is None:
            continue
        if message.error():
            finished += 1
        elif message.value() is not None:
            found[json.loads(message.value())["id"]] += 1
    reader.close()
    return found
