"""A steady flow of raw records with known content and, once the broker has them, known places."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

TYPES = ("CarCreated", "LoanCreated", "LoanPaymentSubmitted")


@dataclass(frozen=True, slots=True)
class Sent:
    """A record and where it ended up."""

    id: str
    type: str
    big: bool
    partition: int
    offset: int


@dataclass
class Flow:
    """Write records to a topic at a rate, in a thread, for as long as the block runs."""

    bootstrap: str
    topic: str
    make: Callable[..., bytes]
    rate: float = 200
    sent: list[Sent] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self.begun = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        self.seconds = time.monotonic() - self.begun

    def _run(self) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0, "enable.idempotence": True})
        number = 0
        while not self._stop.wait(max(0.0, self.begun + number / self.rate - time.monotonic())):
            record = (f"e{number:06}", TYPES[number % 3], number % 2 == 0)
            value = self.make(record[0], event_type=record[1], event_name="big" if record[2] else "small")
            producer.produce(self.topic, key=record[0].encode(), value=value, on_delivery=self._noted(*record))
            producer.poll(0)
            number += 1
        if producer.flush(30):
            self.failures.append("not everything was delivered")

    def _noted(self, name: str, kind: str, big: bool) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failures.append(str(error))
                return
            self.sent.append(Sent(name, kind, big, message.partition() or 0, message.offset() or 0))

        return note

    def in_order(self, kind: str, *, big: bool | None = None) -> dict[int, list[str]]:
        """Return the ids of one type by partition, in the order of their offsets."""
        found: dict[int, list[str]] = {}
        for each in sorted(self.sent, key=lambda each: each.offset):
            if each.type == kind and big in {None, each.big}:
                found.setdefault(each.partition, []).append(each.id)
        return found

    def ids(self, kind: str, *, big: bool | None = None) -> list[str]:
        """Return the ids of one type."""
        return [name for names in self.in_order(kind, big=big).values() for name in names]


def committed_ids(bootstrap: str, topic: str, partitions: int) -> Counter[str]:
    """Return how often each id stands in a topic, for a reader of committed records."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tests",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    found: Counter[str] = Counter()
    left = set(range(partitions))
    try:
        reader.assign([TopicPartition(topic, partition, 0) for partition in left])
        while left:
            message = reader.poll(30)
            assert message is not None, f"{topic} could not be read to its end"
            if message.error() is None:
                found[json.loads(message.value() or b"")["id"]] += 1
                continue
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            left.discard(message.partition() or 0)
        return found
    finally:
        reader.close()


def runs_of(present: list[bool]) -> list[bool]:
    """Return a sequence with equal neighbours put together."""
    return [value for place, value in enumerate(present) if place == 0 or value != present[place - 1]]
