"""Owns a process that gives the broker what librdkafka can: `python -m stack.cdc_bench.bare_producer`.

It reads records that an engine has written, then sends as many as there were, and nothing but sends: what is left is
client and broker. Idempotent, acknowledged by all, like the engines.
"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

_POLL_EVERY = 1_000
_SECONDS = 60


def main(bootstrap: str, source: str, target: str, count: int, compression: str) -> None:
    """Send `count` records like those of `source` to `target`; print the seconds until the last was acknowledged."""
    records = _some(bootstrap, source)
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": compression,
        "linger.ms": 5,
        "queue.buffering.max.messages": 1_000_000,
    })  # fmt: skip
    producer.list_topics(target, timeout=_SECONDS)
    began = time.perf_counter()
    for number in range(count):
        key, value = records[number % len(records)]
        while True:
            try:
                producer.produce(target, value, key)
            except BufferError:
                producer.poll(0.01)
            else:
                break
        if number % _POLL_EVERY == 0:
            producer.poll(0)
    left = producer.flush(_SECONDS)
    sys.stdout.write(f"{time.perf_counter() - began}\n")
    sys.exit(1 if left else 0)


def _some(bootstrap: str, topic: str) -> list[tuple[bytes, bytes]]:
    """Return the records that can be had at once, from each partition."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
    reader.assign([TopicPartition(topic, each, 0) for each in partitions])
    messages = reader.consume(20_000, timeout=3)
    reader.close()
    return [(each.key() or b"", each.value() or b"") for each in messages if each.error() is None]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
