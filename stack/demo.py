"""Owns the demonstration: real events through the whole pipeline, each followed until its consumer has handled it."""

import copy
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import schemas
from stack.errors import StackError
from stack.journey import DemoResult, Journey, summarise
from stack.routes import RAW_TOPIC, Route, run_consumers, shipped_routes
from stack.settings import StackSettings
from stack.sightings import Watcher

_DRAIN_SECONDS = 60


def run_demo(settings: StackSettings, console: Console, *, events: int, rate: float, warm_up: int = 40) -> DemoResult:
    """Post `events` sample events, `rate` a second, and follow each to its consumer.

    The first `warm_up` events are delivered and counted as all others, but not timed: Java compiles its hot paths then.

    Raises:
        StackError: The API cannot be reached.
    """
    routes = shipped_routes()
    handled: dict[str, list[float]] = {}
    with ExitStack() as open_things:
        raw = open_things.enter_context(_watching(settings, [RAW_TOPIC]))
        filtered = open_things.enter_context(_watching(settings, [route.topic for route in routes.values()]))
        open_things.enter_context(run_consumers(settings, routes.values(), handled))
        journeys = _post_all(settings, routes, console, events=events, rate=rate)
        accepted = [journey for journey in journeys if journey.status == httpx.codes.OK]
        _drain(accepted, filtered, handled)
    return summarise(journeys, raw.seen, filtered.seen, handled, timed=accepted[min(warm_up, len(accepted) // 2) :])


@contextmanager
def _watching(settings: StackSettings, topics: list[str]) -> Iterator[Watcher]:
    watcher = Watcher(settings.kafka_bootstrap, topics, settings.schemas_url)
    try:
        yield watcher
    finally:
        watcher.close()


def _sample_events(routes: dict[str, Route], count: int) -> Iterator[dict[str, Any]]:
    samples = [event for event in schemas.samples().values() if event["eventHeader"]["eventType"] in routes]
    for number in range(count):
        event = copy.deepcopy(samples[number % len(samples)])
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        event["eventHeader"] |= {"uuid": str(uuid4()), "createdDate": now, "savedDate": now}
        yield event


def _post_all(
    settings: StackSettings, routes: dict[str, Route], console: Console, *, events: int, rate: float
) -> list[Journey]:
    """Post on a fixed timetable, whatever the answers take, so that a slow pipeline is not spared."""
    journeys: list[Journey] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        httpx.Client(base_url=settings.producer_url, timeout=30) as client,
        Progress(*columns, console=console, transient=True) as progress,
        ThreadPoolExecutor(max_workers=8) as pool,
    ):
        client.get("/api/v1/events/health")
        task = progress.add_task(f"posting {rate:g} events/s", total=events)

        def post(journey: Journey, body: bytes) -> None:
            journey.sent = time.perf_counter()
            response = client.post("/api/v1/events", content=body, headers={"Content-Type": "application/json"})
            journey.answered = time.perf_counter()
            journey.status = response.status_code
            progress.advance(task)

        pacer = threading.Event()
        start = time.perf_counter()
        pending = []
        for number, event in enumerate(_sample_events(routes, events)):
            header = event["eventHeader"]
            journey = Journey(header["uuid"], header["eventType"], routes[header["eventType"]].topic)
            journeys.append(journey)
            pacer.wait(max(0.0, start + number / rate - time.perf_counter()))
            pending.append(pool.submit(post, journey, json.dumps(event).encode()))
        try:
            for future in pending:
                future.result()
        except httpx.HTTPError as error:
            raise StackError(
                f"The producer API at {settings.producer_url} does not answer ({type(error).__name__}).",
                "See `headwater logs producer`, or `docker compose logs producer`.",
            ) from error
    return journeys


def _drain(accepted: list[Journey], filtered: Watcher, handled: dict[str, list[float]]) -> None:
    deadline = time.monotonic() + _DRAIN_SECONDS
    waiting = threading.Event()
    while time.monotonic() < deadline:
        if all(journey.event_id in filtered.seen and journey.event_id in handled for journey in accepted):
            break
        waiting.wait(0.05)
    # A repeat would come right behind; give it the time of a few polls to show itself.
    waiting.wait(0.5)
