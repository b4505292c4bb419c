"""Every service is killed in turn while events are posted: all come back by themselves and nothing is lost."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from stack.local import SERVICES
from stack.settings import StackSettings
from tests.posting import RATE, Poster, ids_in

Status = Callable[[], dict[str, Any]]

RECOVERY_SECONDS = 90


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
        _wait_for(
            lambda topic=topic: accepted <= ids_in(running_stack, topic).keys(), f"every accepted event is in {topic}"
        )
