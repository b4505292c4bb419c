"""Owns the course of the measurement: whose turn it is, what is prepared, what is asked. Prints nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event

import psutil

from stack.cdc_bench import engines, limits
from stack.cdc_bench.database import Database
from stack.cdc_bench.engines import Turn
from stack.cdc_bench.figures import drain_rate, processor_seconds, steady_rate
from stack.cdc_bench.judge import Judge
from stack.cdc_bench.latency import Loop, latency, measure
from stack.cdc_bench.load import BACKLOG, Load
from stack.cdc_bench.outcome import Drain, Limit, Outcome
from stack.cdc_bench.plan import Contender, Plan, Shape
from stack.cdc_bench.processes import Running, processor_seconds_of
from stack.cdc_bench.report import CdcReport
from stack.cdc_bench.topic import Topic
from stack.local import LocalStack

_POLL_SECONDS = 0.1
_OTHERS_SECONDS = 0.5
_WARM_RECORDS = 40_000
_STALL_SECONDS = 60
"""A drain that stands for so long is over; what is missing is counted as lost."""


def run(stack: LocalStack, plan: Plan, tell: Callable[[str], None]) -> CdcReport:
    """Give each contender its turns.

    Args:
        stack: A stack with nothing running.
        plan: What to measure.
        tell: Takes a line about each turn.

    Raises:
        StackError: A part does not start, or ends by itself.
    """
    if any(each.startswith("debezium") for each in plan.contenders):
        engines.fetch(stack)
    stack.start("postgres", "kafka")
    database = Database(stack)
    try:
        bench = _Bench(stack, plan, database)
        bench.warm_up()
        for number in range(plan.rounds):
            for shape in plan.shapes:
                for contender in plan.order(number):
                    tell(f"round {number + 1} of {plan.rounds}, {shape.name}: {contender}")
                    tell(f"  {bench.turn(number, shape, contender)}")
    finally:
        database.close()
    return CdcReport(plan, bench.outcomes, bench.limits)


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What happened beside an engine: processor seconds of walsender and broker, and how busy others were, in %."""

    walsender: float
    broker: float
    others: float


class _Bench:
    """Run turns on one stack."""

    def __init__(self, stack: LocalStack, plan: Plan, database: Database) -> None:
        self._stack = stack
        self._plan = plan
        self._database = database
        self._folder = stack.state.root / "bench"
        self._folder.mkdir(exist_ok=True)
        self._load = Load(database.url, self._folder)
        self._pacer = Event()
        self.outcomes: dict[Contender, Outcome] = {each: Outcome(each) for each in plan.contenders}
        self.limits: dict[str, list[Limit]] = {}

    def warm_up(self) -> None:
        """Let the broker see records before the first turn: its compiler's work would be charged to that turn alone."""
        shape = replace(self._plan.shapes[0], name="warmup", events=1)
        shape = replace(shape, transactions=min(_WARM_RECORDS, shape.transactions))
        contender = self._plan.order(0)[0]
        self.turn(0, shape, contender)
        del self.outcomes[contender].drains[shape.name]
        self.limits.pop(shape.name, None)

    def turn(self, number: int, shape: Shape, contender: Contender) -> str:
        """Let one engine drain a new backlog and, where the plan has it, follow open loops; return what it did."""
        turn = Turn(f"{shape.name}_{contender}_{number}", contender, self._plan.compression)
        topic = Topic(self._stack.settings.kafka_bootstrap, turn.topic)
        limit_slot = f"{turn.slot}_limit" if contender == "native" and "limit" in self._plan.contenders else None
        self._database.empty()
        self._database.create_slots([turn.slot, *([limit_slot] if limit_slot else [])])
        self._load.backlog(shape)
        end = self._database.settle()
        # Nothing of ours has anything to do at this moment.
        others = psutil.cpu_percent(_OTHERS_SECONDS)
        before = self._broker_seconds()
        outcome, loops = self.outcomes[contender], {}
        with engines.running(self._stack, turn) as process:
            seconds = self._drained(topic, shape.records, process)
            # The server process that sends began with the engine.
            sent = processor_seconds_of(self._database.walsender(turn.slot))
            stored = self._broker_seconds() - before
            for pace in self._plan.paces_of(contender, shape):
                rate = pace.rate or max(1, min(self._plan.highest_rate, round(shape.records / seconds / 2)))
                loops[pace.name] = self._follow(topic, process, f"pace{pace.name}", rate, pace.seconds, shape)
        if contender != "native":
            outcome.settings = engines.verify_producer(process)
        judge, size = self._judged(topic)
        drain = self._drain(judge, size, process, _Surroundings(sent, stored, others))
        outcome.drains.setdefault(shape.name, []).append(drain)
        for name, loop in loops.items():
            if (found := latency(loop, judge.stored)) is not None:
                outcome.latencies.setdefault(name, []).append(found)
        self._database.drop_slot(turn.slot)
        if limit_slot:
            found_limit = limits.measured(self._stack, limit_slot, end, shape.records, topic, self._plan.compression)
            self.limits.setdefault(shape.name, []).append(found_limit)
            for name, floor in limits.floors(
                self._stack, turn.topic, self._plan.paces_of("limit", shape), self._folder
            ):
                self.outcomes["limit"].latencies.setdefault(name, []).append(floor)
            self._database.drop_slot(limit_slot)
        topic.delete()
        return f"{drain.rate:,} records/s, lost {drain.lost}, duplicates {drain.duplicates}"

    def _broker_seconds(self) -> float:
        return processor_seconds_of(self._stack.processes()["kafka"].pid)

    def _drained(self, topic: Topic, records: int, process: Running) -> float:
        """Wait until the topic has so many records, or no more come; return the seconds from the first on."""
        last, moved, first = 0, time.monotonic(), None
        while last < records:
            process.check()
            now = topic.total()
            if now > last:
                first = time.monotonic() if first is None else first
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > _STALL_SECONDS:
                break
            self._pacer.wait(_POLL_SECONDS)
        return max(_POLL_SECONDS, time.monotonic() - (first or moved))

    def _follow(self, topic: Topic, process: Running, run: str, rate: int, seconds: int, shape: Shape) -> Loop:
        before = topic.total()
        return measure(
            self._stack.settings.kafka_bootstrap, topic.name, self._folder / f"read-{run}", rate, seconds,
            generate=lambda: self._load.paced(run, rate, seconds, shape),
            arrived=lambda count: self._drained(topic, before + count, process),
        )  # fmt: skip

    def _judged(self, topic: Topic) -> tuple[Judge, int]:
        """Compare the topic with the database; return the verdict and how large a record of the backlog is."""
        judge, size, count = Judge(self._database.ids()), 0, 0
        for message in topic.read():
            key = message.key() or b""
            judge.note(message.partition() or 0, key, message.timestamp()[1])
            size += len(key) + len(message.value() or b"")
            count += 1
        return judge, round(size / max(1, count))

    def _drain(self, judge: Judge, size: int, process: Running, around: _Surroundings) -> Drain:
        times = sorted(at for run, found in judge.times.items() if run.startswith(BACKLOG) for at in found)
        if not times:
            raise process.failure("has brought not one record of the backlog into Kafka")
        first, last = times[0] / 1000, times[-1] / 1000
        samples, millions = process.watch.samples, len(times) / 1e6
        return Drain(
            rate=drain_rate(times),
            steady_rate=steady_rate(times),
            seconds_from_start=round(last - process.started, 2),
            cpu_seconds_per_million=round(processor_seconds(samples, first, last) / millions, 2),
            cpu_seconds=round(processor_seconds(samples, process.started, last), 2),
            walsender_cpu_seconds_per_million=round(around.walsender / millions, 2),
            broker_cpu_seconds_per_million=round(around.broker / millions, 2),
            peak_rss_mb=round(max((each.rss for each in samples if each.at <= last), default=0) / 1e6),
            record_bytes=size,
            lost=judge.lost,
            duplicates=judge.duplicates,
            reordered=judge.reordered,
            others_percent=around.others,
        )
