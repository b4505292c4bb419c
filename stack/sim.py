"""Owns `headwater sim`: simulated schedules of the CDC loop on every core, and how a failing one is shown.

The schedules are `cdc.simulation`'s; a seed makes one schedule, wherever and whenever it runs.
"""

import json
import logging
import os
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Final

import structlog
from rich.console import Console
from rich.markup import escape

from cdc.simulation.campaign import Tally, run_seeds
from cdc.simulation.schedule import run_schedule
from cdc.simulation.shrink import shrink

_CHUNK: Final = 500
"""Schedules that a process runs before it reports: about a quarter of a second."""
_AHEAD: Final = 2
"""Chunks handed to a process at a time, so that it never waits."""
_REPORT_S: Final = 10.0


def simulate(console: Console, *, seed: int | None, schedules: int | None, seconds: float) -> Tally:
    """Run schedules until one fails, so many are done, or the time is over; explain the one that failed.

    Args:
        console: Where the first seed, the progress and a failing schedule are told.
        seed: The first seed; the others count on from it. None draws one.
        schedules: How many to run; None for as many as the time allows.
        seconds: How long to run when no number is given.
    """
    first = secrets.randbelow(2**32) if seed is None else seed
    console.print(f"Simulating from seed {first} on {_processes()} processes.")
    tally = _run(console, _chunks(first, schedules), None if schedules is not None else time.monotonic() + seconds)
    if not tally.good:
        _explain(console, min(tally.seeds))
    return tally


def as_json(tally: Tally) -> str:
    """Return the result as one JSON object; a failing one names the seeds as well."""
    result: dict[str, object] = {
        "schedules": tally.schedules,
        "lost": tally.lost,
        "duplicates": tally.duplicates,
        "reordered": tally.reordered,
    }
    if not tally.good:
        result |= {"failures": tally.failures, "seeds": tally.seeds}
    return json.dumps(result, separators=(",", ":"))


def in_words(tally: Tally) -> str:
    """Return the result as a line for a person."""
    counts = f"{tally.lost} lost, {tally.duplicates} duplicates, {tally.reordered} reordered"
    ends = f", {tally.failures} that did not end" if tally.failures else ""
    return f"{tally.schedules:,} schedules: {counts}{ends}"


def _chunks(first: int, schedules: int | None) -> Iterator[range]:
    end = None if schedules is None else first + schedules
    while end is None or first < end:
        following = first + _CHUNK if end is None else min(first + _CHUNK, end)
        yield range(first, following)
        first = following


def _run(console: Console, chunks: Iterator[range], until: float | None) -> Tally:
    processes = _processes()
    tally = Tally()
    waiting: set[Future[Tally]] = set()
    reported = began = time.monotonic()
    # A fresh interpreter for each process: what this one has open is none of theirs.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        try:
            while True:
                while tally.good and len(waiting) < processes * _AHEAD and (until is None or time.monotonic() < until):
                    chunk = next(chunks, None)
                    if chunk is None:
                        break
                    waiting.add(pool.submit(run_seeds, chunk))
                if not waiting:
                    return tally
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                tally = sum((future.result() for future in done), tally)
                now = time.monotonic()
                if now - reported >= _REPORT_S:
                    reported = now
                    console.print(f"{in_words(tally)} ({tally.schedules / (now - began):,.0f} a second)")
        finally:
            # After an interruption only the chunks that are running are waited for.
            pool.shutdown(wait=False, cancel_futures=True)


def _explain(console: Console, seed: int) -> None:
    """Print the seed, and the smallest schedule found that fails like it, line by line."""
    console.print(f"[red]Seed {seed} breaks a promise.[/] Again: headwater sim --seed {seed} --schedules 1")
    before = structlog.get_config()
    _hush()
    try:
        choices = shrink(run_schedule(seed).choices, lambda candidate: not run_schedule(candidate).verdict.good)
        outcome = run_schedule(choices, traced=True)
    finally:
        structlog.configure(**before)
    verdict = outcome.verdict
    console.print(f"What is left of it after shrinking, {len(choices)} choices:")
    for line in outcome.trace:
        console.print(escape(line), soft_wrap=True)
    console.print(
        f"{verdict.lost} lost, {verdict.duplicates} duplicates, {verdict.reordered} reordered"
        + escape(f"; {verdict.failure}" if verdict.failure else "")
    )


def _processes() -> int:
    return os.cpu_count() or 1


def _prepare() -> None:
    # The parent is the one to be interrupted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _hush()


def _hush() -> None:
    """Keep the engine's log quiet: it would tell of every simulated trouble."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
