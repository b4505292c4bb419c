"""Owns the order of the measurement: a stack as `headwater up` runs it, warmed up, then each rate in turn over rounds.

Must never print. Facts: the JIT of a JVM compiles what ran often enough, so the first thousands of events are slow.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import psutil

from stack.e2e_bench.report import EndToEndReport, RateFound
from stack.e2e_bench.sender import Posted
from stack.line_process import LineProcess, line_process
from stack.local import LocalStack
from stack.routes import shipped_routes
from stack.settings import HOST

_DRAIN_SECONDS: Final = 60
_WARM_RATE: Final = 500.0

Tell = Callable[[str], None]


def run(
    stack: LocalStack, rates: Sequence[float], seconds: float, rounds: int, warm_seconds: float, tell: Tell
) -> EndToEndReport:
    """Post events at each rate in turn and follow each to its filtered topic.

    Args:
        stack: A stack that runs.
        rates: Events a second, one after the other.
        seconds: How long each is kept up in a round.
        rounds: How often each rate is measured.
        warm_seconds: How long events are posted before, which are counted and not timed.
        tell: Hears of each round that has ended.

    Raises:
        StackError: The producer does not answer, or the topics cannot be read.
    """
    bench = _Bench(stack)
    found = tuple(RateFound(rate) for rate in rates)
    warm_up = RateFound(_WARM_RATE)
    with bench.watching():
        if warm_seconds > 0:
            bench.round(warm_up, warm_seconds, timed=False)
            tell(f"warmed up with {warm_up.events} events, which are counted and not timed")
        for turn in range(rounds):
            for each in found:
                bench.round(each, seconds, timed=True)
                if len(each.rounds) > turn:
                    last = each.rounds[-1]["filtered_topic"]
                    tell(f"round {turn + 1} of {rounds}, {each.rate:g}/s: p50 {last['p50']} ms, p99 {last['p99']} ms")
    return EndToEndReport(found, warm_up)


class _Bench:
    """Hold the processes of one run."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._routes = {name: route.topic for name, route in shipped_routes().items()}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let a process watch the topics."""
        topics = sorted(set(self._routes.values()))
        with self._process("watcher", [self._stack.settings.kafka_bootstrap, *topics]) as self._watcher:
            self._watcher.line()
            yield

    def round(self, found: RateFound, seconds: float, *, timed: bool) -> None:
        """Post at one rate for a while, wait for the records, and note both."""
        count = max(1, round(found.rate * seconds))
        settings = self._stack.settings
        before = self._processor_seconds()
        arguments = [HOST, str(settings.producer_port), str(found.rate), str(count), *self._routes]
        with self._process("sender", arguments) as sender:
            posted = [Posted(*each) for each in json.loads(sender.line())]
        # Each event once in the raw and once in a filtered topic; those that were refused are not waited for.
        stored = sum(each.status == HTTPStatus.OK for each in posted)
        self._watcher.tell(f"{2 * stored} {_DRAIN_SECONDS}")
        seen = json.loads(self._watcher.line())
        if timed:
            after = self._processor_seconds()
            spent = {name: (after[name] - before.get(name, 0.0)) * 1e6 / count for name in after}
            found.processor_us.append({name: round(us, 1) for name, us in spent.items()})
        found.note(posted, seen, self._routes, timed=timed)

    def _process(self, name: str, arguments: Sequence[str]) -> AbstractContextManager[LineProcess]:
        log = Path(self._stack.state.root) / f"bench-{name}.log"
        return line_process(f"stack.e2e_bench.{name}", arguments, log)

    def _processor_seconds(self) -> dict[str, float]:
        """Return the processor time that each part has used, its children's included, and the watcher's."""
        pids = {name: process.pid for name, process in self._stack.processes().items() if process.pid}
        return {name: _spent(pid) for name, pid in {**pids, "watcher": self._watcher.pid}.items()}


def _spent(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
