"""What the tests of the processor share: instances of it as processes, and readers of what it has committed."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

import schemas

Json = dict[str, Any]
_PAUSE = threading.Event()


def everywhere(document: Json) -> Json:
    """Return a filter document whose filters are for both processors."""
    return {**document, "filters": [{**each, "targets": ["flink", "spring"]} for each in document["filters"]]}


@dataclass
class Instance:
    """One process of the processor, and the lines it has logged."""

    process: "subprocess.Popen[str]"
    log: list[Json] = field(default_factory=list)
    drain: threading.Thread = field(default_factory=threading.Thread)

    def events(self, name: str) -> list[Json]:
        """Return what it has logged under a name."""
        return [line for line in self.log if line.get("event") == name]

    def get(self, path: str) -> httpx.Response:
        """Ask its endpoint."""
        return httpx.get(f"http://127.0.0.1:{self.events('endpoint')[0]['port']}{path}")

    def figure(self, name: str) -> float:
        """Return a figure of its metrics, such as `headwater_processor_received_total`."""
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.log[-40:]}"
        if not self.events("endpoint"):
            return 0
        try:
            lines = self.get("/metrics").text.splitlines()
        except httpx.TransportError as error:
            pytest.fail(f"it does not answer: {error}, {self.process.poll()}, {self.log[-40:]}")
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), 0)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Ground:
    """Topics and filters of one test, and the instances that work on them."""

    stage: Any
    settings: dict[str, str] = field(default_factory=dict)
    running: list[Instance] = field(default_factory=list)

    @property
    def dead(self) -> str:
        """Return the processor's own dead-letter topic."""
        return f"dlq-spring-{self.stage.name}"

    def output(self, base: str) -> str:
        """Return a filtered topic of the processor."""
        return f"{base}-{self.stage.name}-spring"

    def start(self, **changes: str) -> Instance:
        """Start one more instance."""
        environment = {
            **os.environ,
            "PYTHONFAULTHANDLER": "1",
            "KAFKA_BOOTSTRAP_SERVERS": self.stage.bootstrap,
            "CDC_TOPIC": self.stage.raw,
            "PROCESSOR_GROUP": self.stage.name,
            "PROCESSOR_TOPIC_SUFFIX": f"-{self.stage.name}-spring",
            "PROCESSOR_DEAD_LETTER_TOPIC": self.dead,
            "PROCESSOR_HTTP_PORT": "0",
            "PROCESSOR_TRANSACTION_TIMEOUT_MS": "2000",
            **{key: value for key, value in self.stage.settings.items() if key.isupper()},
            **self.settings,
            **changes,
        }
        command = [sys.executable, "-m", "flink_jobs.processor"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        instance = Instance(process)
        instance.drain = threading.Thread(target=self._drain, args=(instance,), daemon=True)
        instance.drain.start()
        self.running.append(instance)
        return instance

    @staticmethod
    def _drain(instance: Instance) -> None:
        assert instance.process.stderr is not None
        with instance.process.stderr as lines:
            for line in lines:
                instance.log.append(json.loads(line) if line.startswith("{") else {"event": "raw", "line": line})

    def end(self) -> None:
        """End every instance."""
        for instance in self.running:
            if instance.process.poll() is None:
                instance.thaw()
                instance.process.terminate()
                try:
                    assert instance.process.wait(30) == 0, instance.log[-5:]
                except subprocess.TimeoutExpired:
                    # Every thread's traceback is in the log then.
                    instance.process.send_signal(signal.SIGABRT)
                    instance.process.wait()
                    instance.drain.join()
                    pytest.fail("it does not stop: " + "\n".join(map(str, instance.log[-80:])))

    def committed(self, topic: str) -> list[Message]:
        """Return every record of a topic that a read-committed reader sees now."""
        reader = Consumer(
            {
                "bootstrap.servers": self.stage.bootstrap,
                "group.id": "tests",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        try:
            known = reader.list_topics(timeout=30).topics.get(topic)
            partitions = [] if known is None else sorted(known.partitions)
            reader.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            found: list[Message] = []
            ended = 0
            while ended < len(partitions):
                message = reader.poll(30)
                assert message is not None, f"{topic} could not be read to its end"
                if error := message.error():
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended += 1
                else:
                    found.append(message)
            return found
        finally:
            reader.close()

    def ids(self, base: str) -> list[str]:
        """Return the id of every committed record of a filtered topic."""
        return [json.loads(message.value() or b"")["id"] for message in self.committed(self.output(base))]

    @contextmanager
    def streaming(self, make: Callable[[str], bytes], rate: int) -> "Iterator[list[str]]":
        """Write so many raw records a second while the block runs; gives the ids that the broker has."""
        producer = Producer({"bootstrap.servers": self.stage.bootstrap, "linger.ms": 1})
        written: list[str] = []
        stop = threading.Event()

        def work() -> None:
            number = 0
            while not stop.wait(0.01):
                for _ in range(rate // 100):
                    event_id = f"e{number}"
                    producer.produce(self.stage.raw, key=event_id, value=make(event_id))
                    written.append(event_id)
                    number += 1
                producer.poll(0)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield written
        finally:
            stop.set()
            thread.join()
            assert producer.flush(30) == 0


@pytest.fixture
def ground(stage: Any) -> "Iterator[Ground]":
    """Topics and the shipped filters, for both processors; no instance runs yet."""
    document = json.loads(Path(schemas.filters_path()).read_text())
    stage.use(everywhere(document))
    made = Ground(stage)
    yield made
    made.end()
