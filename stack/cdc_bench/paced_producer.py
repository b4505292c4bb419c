"""Owns a process that sends records at a rate: `python -m stack.cdc_bench.paced_producer`.

It shows what broker and reader add by themselves to every latency of an engine: no database, no engine, one librdkafka
producer that waits for no company. Its standard output has a line for each record: intended start, the moment behind
`produce`, both in nanoseconds since the epoch, and the record's id.
"""

import gc
import random
import sys
import time

from confluent_kafka import Producer

_SECONDS = 60


def main(bootstrap: str, topic: str, run: str, rate: int, seconds: int) -> None:
    """Send records of 300 bytes at random moments of a rate, and print when."""
    producer = Producer({
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 0,
        "socket.nagle.disable": True,
        "partitioner": "murmur2_random",
    })  # fmt: skip
    # The first records wait for a producer id and for connections.
    for partition in producer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions:
        producer.produce(topic, b"", b'{"id":"warm"}', partition)
    producer.flush(_SECONDS)
    gc.disable()
    sent: list[tuple[int, int, str]] = []
    began = time.time_ns()
    due, end = began, began + seconds * 1_000_000_000
    while (due := due + round(random.expovariate(rate) * 1e9)) < end:
        name = f"{run}-0-{len(sent) + 1}-1"
        while (early := due - time.time_ns()) > 0:
            # Serves the delivery reports meanwhile; its wait is in whole milliseconds.
            producer.poll(early / 1e9)
        producer.produce(topic, b"x" * 300, b'{"id":"%s"}' % name.encode())
        sent.append((due, time.time_ns(), name))
    left = producer.flush(_SECONDS)
    sys.stdout.writelines(f"{due} {at} {name}\n" for due, at, name in sent)
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
