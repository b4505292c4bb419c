"""Every service is killed in turn while events are posted: all come back by themselves and nothing is lost."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

import schemas
from stack.local import SERVICES
from stack.settings import StackSettings
from stack.sightings import end_offsets

Status = Callable[[], dict[str, Any]]

RATE = 20
RECOVERY_SECONDS = 90


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


def _ids(settings: StackSettings, topic: str) -> set[str]:
    """Return the id of every record that a topic holds now."""
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
    found: set[str] = set()
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
            found.add(json.loads(message.value())["id"])
    reader.close()
    return found


def _wait_for(question: Callable[[], bool], what: str, seconds: float = RECOVERY_SECONDS) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not question():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        pause.wait(0.2)


@pytest.mark.timeout(900)
def test_every_killed_service_comes_back_and_no_accepted_event_is_missing(
    running_stack: StackSettings, stack_status: Status
) -> None:
    """`kill -9` of each in turn at 20 events/s: what was answered 200 is in the raw and the filtered topic (CD-110)."""
    poster = Poster(running_stack)

    def restarted(name: str, old_pid: int) -> bool:
        report = stack_status()
        service = next(one for one in report["services"] if one["name"] == name)
        recovered = service["pid"] not in (None, old_pid) and service["restarts"] >= 1
        return recovered and report["state"] == "running"

    with poster.posting():
        for name in SERVICES:
            poster.wait_for_more(RATE, RECOVERY_SECONDS)
            pid = next(one["pid"] for one in stack_status()["services"] if one["name"] == name)
            os.kill(pid, signal.SIGKILL)
            _wait_for(lambda name=name, pid=pid: restarted(name, pid), f"{name} runs again")
        poster.wait_for_more(RATE, RECOVERY_SECONDS)
    accepted = set(poster.accepted)
    for topic in ("raw-event-headers", "filtered-car-created-events-flink"):
        _wait_for(lambda topic=topic: accepted <= _ids(running_stack, topic), f"every accepted event is in {topic}")
