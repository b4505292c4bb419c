"""Owns the measurement of the Flink job: records a second from a backlog, beside a plain copy of the same topic.

Every job reads the same backlog, one after the other in turn; its time is that between the first and the last record
that it wrote, by the broker's clock, so that no start of a JVM is in it. Afterwards every record that it wrote is read
and compared with what must be there. Must never print. Facts: Kafka's `message.timestamp.type`, KIP-107.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from uuid import uuid4

import psutil
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # no __all__
    AdminClient,
    NewTopic,
    OffsetSpec,
)

from flink_jobs import FilterSet, Places, statements
from flink_jobs.columns import COLUMNS, TEXT_COLUMNS
from flink_jobs.compiling import compile_blueprint
from flink_jobs.plan import PlanStore, blueprint
from flink_jobs.predicates import identifier
from flink_jobs.rest import FlinkRest
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import Kind, Statement
from stack import java, maven
from stack.errors import StackError
from stack.flink_backlog import CYCLE, Route, expected, four_filters, hundred_filters, number_of, records
from stack.flink_report import FlinkReport, Found, Variant, compare
from stack.local import LocalStack

_RAW = "raw-event-headers"
_PARTITIONS = 6
_SECONDS = 600
_BATCH = 10_000
_POLL_SECONDS = 0.1

_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_Ends = dict[tuple[str, int], int]


def run(stack: LocalStack, count: int, rounds: int) -> FlinkReport:
    """Load a backlog and let each job read it as often as there are rounds, in turn, after one turn to warm up.

    Args:
        stack: A stack with nothing running.
        count: How many records.
        rounds: How many turns are measured.

    Raises:
        StackError: A job does not write what it should in time.
    """
    stack.start("kafka", "flink-jobmanager", "flink-taskmanager")
    bench = _Bench(stack, count)
    variants = _variants(stack.settings.kafka_bootstrap)
    bench.prepare(variants)
    for turn in range(rounds + 1):
        for each in variants:
            bench.measure(each, counts=turn > 0)
    return FlinkReport(count, variants)


def _variants(bootstrap: str) -> tuple[Variant, ...]:
    def filtered(name: str, made: tuple[FilterSet, tuple[Route, ...]]) -> Variant:
        filters, routes = made
        return Variant(name, routes, statements(filters, _places(bootstrap, name)))

    copy = Variant("passthrough", (Route("copy", lambda _one: True),), _copy(_places(bootstrap, "passthrough")))
    return copy, filtered("filters_4", four_filters()), filtered("filters_100", hundred_filters())


def _places(bootstrap: str, name: str) -> Places:
    return Places(bootstrap, _RAW, f"dlq-{name}", group=f"bench-{name}", suffix=f"-{name}")


def _copy(places: Places) -> tuple[Statement, ...]:
    """Return the plainest job with the same formats: JSON in, the columns of a filtered topic out, keys kept."""
    broker = f"'properties.bootstrap.servers' = '{places.bootstrap_servers}'"
    keyed = "'key.format' = 'raw', 'key.fields' = 'key', 'value.fields-include' = 'EXCEPT_KEY', 'value.format' = 'json'"
    source = ", ".join(f"{identifier(name)} {'BIGINT' if name == '__ts_ms' else 'STRING'}" for name in COLUMNS)
    sink = ", ".join(f"{identifier(name)} STRING" for name in TEXT_COLUMNS)
    names = ", ".join(map(identifier, TEXT_COLUMNS))
    return (
        Statement(
            Kind.DEFINITION,
            "source",
            f"CREATE TABLE `source` (`key` BYTES, {source}) WITH ('connector' = 'kafka',"
            f" 'topic' = '{places.raw_topic}', {broker}, {keyed}, 'scan.startup.mode' = 'group-offsets',"
            f" 'properties.group.id' = '{places.group}', 'properties.auto.offset.reset' = 'earliest')",
        ),
        Statement(
            Kind.DEFINITION,
            "copy",
            f"CREATE TABLE `copy` (`key` BYTES, {sink}) WITH ('connector' = 'kafka', 'topic' = 'copy{places.suffix}',"
            f" {broker}, {keyed}, 'sink.delivery-guarantee' = 'at-least-once', 'properties.linger.ms' = '0')",
        ),
        Statement(Kind.INSERT, "copy", f"INSERT INTO `copy` SELECT `key`, {names} FROM `source`"),  # noqa: S608
    )


class _Bench:
    """Run the jobs on one stack."""

    def __init__(self, stack: LocalStack, count: int) -> None:
        self._stack = stack
        self._count = count
        self._bootstrap = stack.settings.kafka_bootstrap
        self._admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        self._pacer = Event()
        folder = Path(stack.state.root) / "bench"
        self._store = PlanStore(folder / "plans")
        self._flink = FlinkSettings(
            flink_rest_url=stack.settings.flink_url,
            kafka_bootstrap_servers=self._bootstrap,
            flink_checkpoint_dir=folder.absolute() / "checkpoints",
            flink_plan_dir=folder.absolute() / "plans",
            flink_connector_jars=maven.class_path("flink-kafka", stack.settings.cache_dir),
        )
        self._digests: dict[str, str] = {}

    def prepare(self, variants: Sequence[Variant]) -> None:
        """Create the topics, compile the plans and load the backlog."""
        stamped = {"message.timestamp.type": "LogAppendTime"}
        topics = [NewTopic(_RAW, _PARTITIONS, 1)]
        for each in variants:
            topics += [NewTopic(name, _PARTITIONS, 1, config=stamped) for name in each.topics]
            topics.append(NewTopic(f"dlq{each.suffix}", 1, 1))
        for made in self._admin.create_topics(topics).values():
            made.result(timeout=60)
        # The compiler takes it from its environment.
        os.environ.setdefault("JAVA_HOME", str(java.JAVA_HOME))
        for each in variants:
            wanted = blueprint(self._flink, each.parts)
            compile_blueprint(wanted, self._flink.flink_plan_dir, self._stack.cancelled)
            self._digests[each.name] = wanted.digest
        self._load()

    def _load(self) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap, "queue.buffering.max.messages": 1_000_000})
        for number, (key, value) in enumerate(records(self._count)):
            producer.produce(_RAW, key=key, value=value)
            if number % _BATCH == 0:
                producer.poll(0)
        if left := producer.flush(_SECONDS):
            raise StackError(f"Kafka does not take the backlog: {left} records are left.", "See `logs/kafka.log`.")

    def measure(self, variant: Variant, *, counts: bool) -> None:
        """Let one job read the backlog to its end; note its rate and what is missing or too much."""
        begins = self._ends(variant.topics)
        wanted = [expected(variant.routes, place) for place in range(CYCLE)]
        total = sum(len(wanted[number % CYCLE]) for number in range(self._count))
        plan = self._store.load(self._digests[variant.name])
        job = uuid4().hex
        # Every turn starts at the beginning: without a checkpoint, and without what the group has committed.
        self._forget(variant)
        before = self._processor_seconds()
        with FlinkRest(self._flink.flink_rest_url) as rest:
            rest.submit(plan.render(job, None), {"headwater-functions.jar": plan.functions_jar})
            try:
                self._await(lambda: self._total(variant, begins) >= total, f"all that {variant.name} should write")
            finally:
                spent = self._processor_seconds() - before
                rest.cancel(job)
                self._await(lambda: any(each.id == job and each.ended for each in rest.jobs()), "the job's end")
        found = self._read(variant, begins)
        if counts:
            variant.rates.append(round(self._count * 1000 / max(1, found.last_ms - found.first_ms)))
            variant.processor_us.append(round(spent * 1e6 / self._count, 1))
            compare(variant, wanted, found)
        self._admin.delete_records([TopicPartition(*place, end) for place, end in self._ends(variant.topics).items()])

    def _processor_seconds(self) -> float:
        """Return the processor time that the TaskManager has used, which a busy machine does not change."""
        spent = psutil.Process(self._stack.processes()["flink-taskmanager"].pid).cpu_times()
        return float(spent.user + spent.system)

    def _forget(self, variant: Variant) -> None:
        for deleted in self._admin.delete_consumer_groups([f"bench-{variant.name}"]).values():
            with suppress(KafkaException):  # before the first turn there is none
                deleted.result(timeout=30)

    def _ends(self, topics: Sequence[str]) -> _Ends:
        places = [TopicPartition(topic, partition) for topic in topics for partition in range(_PARTITIONS)]
        asked = self._admin.list_offsets(dict.fromkeys(places, _LATEST))
        return {(place.topic, place.partition): answer.result(timeout=30).offset for place, answer in asked.items()}

    def _total(self, variant: Variant, begins: _Ends) -> int:
        topics = [name for name, route in zip(variant.topics, variant.routes, strict=True) if route.used]
        return sum(end - begins[place] for place, end in self._ends(topics).items())

    def _await(self, question: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not question():
            if time.monotonic() > deadline:
                raise StackError(f"Not within {_SECONDS} s: {what}.", "See `logs/flink-taskmanager.log`.")
            self._pacer.wait(_POLL_SECONDS)

    def _read(self, variant: Variant, begins: _Ends) -> Found:
        """Read every record that the job has written."""
        found = Found([bytearray(self._count) for _route in variant.routes])
        indexes = {topic: index for index, topic in enumerate(variant.topics)}
        ends = {place: end for place, end in self._ends(variant.topics).items() if end > begins[place]}
        left = sum(end - begins[place] for place, end in ends.items())
        reader = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "bench", "enable.auto.commit": False})
        try:
            reader.assign([TopicPartition(*place, begins[place]) for place in ends])
            while left > 0:
                messages = reader.consume(min(left, _BATCH), timeout=60)
                if not messages:
                    raise StackError(f"{variant.name}: {left} records cannot be read.", "See `logs/kafka.log`.")
                for message in messages:
                    found.note(indexes[message.topic() or ""], number_of(message.key() or b""), message.timestamp()[1])
                left -= len(messages)
        finally:
            reader.close()
        return found
