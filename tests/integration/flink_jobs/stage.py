"""One job's world: its environment, its topics and short ways to use them; and records to write."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import schemas
from flink_jobs.cluster.rest import FlinkRest, Job
from stack import java, maven

Json = dict[str, Any]
PARTITIONS = 3
_PAUSE = threading.Event()


def eventually(question: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Return what the question gives once that is true; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := question()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        _PAUSE.wait(0.05)
    return found


@dataclass
class Keeping:
    """A keeper at work, and the lines it has logged."""

    process: "subprocess.Popen[str]"
    log: list[str] = field(default_factory=list)

    def has_seen(self, job_id: str) -> bool:
        """Tell whether it has found this job in the cluster."""
        return any("job_seen" in line and job_id in line for line in self.log)


@dataclass
class Stage:
    """One job's world: its environment, its topics and short ways to use them."""

    bootstrap: str
    rest_url: str
    folder: Path
    name: str = field(default_factory=lambda: f"t{uuid4().hex[:10]}")
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> str:
        """Return the raw topic."""
        return f"raw-{self.name}"

    @property
    def dead(self) -> str:
        """Return the dead-letter topic."""
        return f"dlq-{self.name}"

    def filtered(self, base: str) -> str:
        """Return the filtered topic of a base name."""
        return f"{base}-{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """Return what the stage's processes are told."""
        jars = maven.class_path("flink-kafka", Path(self.settings["cache"]))
        return {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "FLINK_REST_URL": self.rest_url,
            "FLINK_CHECKPOINT_DIR": str(self.folder / "checkpoints"),
            "FLINK_CHECKPOINT_INTERVAL_SECONDS": "1",
            "FLINK_CONNECTOR_JARS": os.pathsep.join(map(str, jars)),
            "FLINK_JOB_NAME": self.name,
            "FLINK_CONSUMER_GROUP": self.name,
            "CDC_TOPIC": self.raw,
            "DEAD_LETTER_TOPIC": self.dead,
            "TOPIC_SUFFIX": f"-{self.name}",
            "JAVA_HOME": str(java.JAVA_HOME),
            **{key: value for key, value in self.settings.items() if key.isupper()},
        }

    def use(self, document: Json) -> None:
        """Put a filter file in the place of the shipped one."""
        file = self.folder / "filters.json"
        file.write_text(json.dumps(document))
        self.settings["FILTERS_FILE"] = str(file)

    def create_topics(self, *bases: str) -> None:
        """Create the raw, the dead-letter and these filtered topics."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        names = [self.raw, self.dead, *map(self.filtered, bases)]
        for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
            made.result(timeout=30)

    def run(self, *arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the stage to its end."""
        command = [sys.executable, "-m", "flink_jobs", *arguments]
        environment = self.environment | changes
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def submit(self) -> None:
        """Submit the job and wait until it runs."""
        done = self.run("submit")
        assert done.returncode == 0, done.stderr

    @contextmanager
    def keeping(self) -> "Iterator[Keeping]":
        """Run the keeper for as long as the block runs."""
        command = [sys.executable, "-m", "flink_jobs", "keep"]
        with subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            keeping = Keeping(process)
            drain = threading.Thread(target=keeping.log.extend, args=(process.stderr,))
            drain.start()
            try:
                yield keeping
            finally:
                process.terminate()
                drain.join(30)

    def jobs(self) -> list[Job]:
        """Return every job of this name that the cluster knows, newest first."""
        with FlinkRest(self.rest_url) as rest:
            return [job for job in rest.jobs() if job.name == self.name]

    def whole(self) -> Job | None:
        """Return the job once all of it runs."""
        return next((job for job in self.jobs() if job.runs_whole), None)

    def steps(self, job_id: str) -> list[str]:
        """Return the names of the job's vertices, each of which lists its chained steps."""
        vertices = httpx.get(f"{self.rest_url}/jobs/{job_id}").raise_for_status().json()["vertices"]
        return [str(vertex["name"]) for vertex in vertices]

    def produce(self, values: Sequence[bytes | None], key: bytes = b'{"id":"k"}') -> None:
        """Write records to the raw topic and wait until the broker has them."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0})
        for value in values:
            producer.produce(self.raw, key=key, value=value)
        assert producer.flush(30) == 0

    def read(self, topic: str) -> list[Message]:
        """Return every record that a topic holds now."""
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "tests", "enable.auto.commit": False})
        try:
            places = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
            ends = {place.partition: reader.get_watermark_offsets(place, timeout=30)[1] for place in places}
            reader.assign([place for place in places if ends[place.partition]])
            found: list[Message] = []
            while len(found) < sum(ends.values()):
                message = reader.poll(30)
                assert message is not None, f"{topic} could not be read to its end"
                assert message.error() is None
                found.append(message)
            return found
        finally:
            reader.close()

    def committed(self, topic: str) -> list[Message]:
        """Return every record that a read-committed reader sees now; ends of transactions take offsets and are none."""
        reader = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        try:
            reader.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
            found: list[Message] = []
            at_end: set[int | None] = set()
            while len(at_end) < PARTITIONS:
                message = reader.poll(30)
                assert message is not None, f"{topic} could not be read to its end"
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    at_end.add(message.partition())
            return found
        finally:
            reader.close()

    def read_at(self, topic: str, partition: int, offset: int) -> Message:
        """Return one record by its place."""
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "tests", "enable.auto.commit": False})
        try:
            reader.assign([TopicPartition(topic, partition, offset)])
            message = reader.poll(30)
            assert message is not None
            return message
        finally:
            reader.close()

    def ids(self, topic: str) -> list[str]:
        """Return the id of every record of a filtered topic."""
        return [json.loads(message.value() or b"")["id"] for message in self.read(topic)]

    def stop(self) -> None:
        """End what runs under this name."""
        with FlinkRest(self.rest_url) as rest:
            for job in self.jobs():
                if not job.ended:
                    rest.cancel(job.id)
        eventually(lambda: all(job.ended for job in self.jobs()), "the job has ended")


def header(event_id: str, **changes: object) -> bytes:
    """Return the value of a raw record."""
    fields: Mapping[str, object] = {
        "id": event_id,
        "event_name": "Car Created",
        "event_type": "CarCreated",
        "created_date": "2026-11-21T10:00:00.123456Z",
        "saved_date": "2026-11-21T10:00:01Z",
        "header_data": '{"uuid": "x"}',
        "__op": "c",
        "__table": "event_headers",
        "__ts_ms": 1795255200000,
    }
    return json.dumps({**fields, **changes}, ensure_ascii=False).encode()


@contextmanager
def stream(stage: Stage, every: int = 0) -> Iterator[tuple[list[str], list[bytes]]]:
    """Write two hundred records a second for as long as the block runs; give the ids and bytes that the broker has.

    Args:
        stage: Where to.
        every: Each so many'th record is one that cannot be parsed; by default none is.
    """
    good: list[str] = []
    bad: list[bytes] = []
    stop = threading.Event()
    producer = Producer({"bootstrap.servers": stage.bootstrap, "linger.ms": 0, "enable.idempotence": True})

    def write() -> None:
        number = 0
        while not stop.wait(0.05):
            ids, broken = [], []
            for number in range(number, number + 10):  # noqa: B020  # counts on
                if every and number % every == 0:
                    broken.append(b"{broken %d" % number)
                    producer.produce(stage.raw, key=b"k%d" % number, value=broken[-1])
                else:
                    ids.append(f"flow-{number}")
                    producer.produce(stage.raw, key=ids[-1].encode(), value=header(ids[-1]))
            number += 1
            assert producer.flush(30) == 0
            good.extend(ids)
            bad.extend(broken)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield good, bad
    finally:
        stop.set()
        thread.join()


BASES = tuple(topic.name.removesuffix("-flink") for topic in schemas.topics() if topic.name.startswith("filtered-"))
