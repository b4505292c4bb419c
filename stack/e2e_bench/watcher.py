"""Owns the watcher: a process that notes when each record is to be read from the raw and the filtered topics.

It takes orders as lines on standard input, `count seconds`: wait until this many records are there, at most so long,
then write what was seen since the last order as one line of JSON. One reader for all topics, because each costs the
broker a request a record. Must never join a consumer group. Moments are as those of the sender.
"""

import json
import os
import sys
import threading
import time
from typing import Final

from confluent_kafka import Consumer

from stack.routes import RAW_TOPIC
from stack.sightings import end_offsets

_REPEAT_SECONDS: Final = 0.3
"""A repeat would come right behind; this is the time of a few polls for it to show itself."""

Seen = tuple[str, bytes, float]
"""Topic, key, and when."""


class Watch:
    """Read some topics from their present ends on, in a thread of its own."""

    def __init__(self, bootstrap: str, topics: list[str]) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "headwater-bench", "enable.auto.commit": False}
        )
        self._consumer.assign(end_offsets(bootstrap, topics))
        self._seen: list[Seen] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def count(self) -> int:
        """Return how many records were seen since they were last taken."""
        return len(self._seen)

    def take(self) -> list[Seen]:
        """Return what was seen, and forget it."""
        seen, self._seen = self._seen, []
        return seen

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        poll, clock = self._consumer.poll, time.perf_counter
        while not self._stop.is_set():
            message = poll(0.1)
            if message is not None and message.error() is None:
                self._seen.append((message.topic() or "", message.key() or b"", clock()))


def main() -> int:
    """Watch until standard input ends."""
    descriptor, bootstrap, *filtered = sys.argv[1:]
    watch = Watch(bootstrap, [RAW_TOPIC, *filtered])
    pacer = threading.Event()
    try:
        with os.fdopen(int(descriptor), "w", buffering=1) as answers:
            answers.write("ready\n")
            for line in sys.stdin:
                count, seconds = line.split()
                deadline = time.monotonic() + float(seconds)
                while watch.count < int(count) and time.monotonic() < deadline:
                    pacer.wait(0.05)
                pacer.wait(_REPEAT_SECONDS)
                taken = [(topic, key.decode(), at) for topic, key, at in watch.take()]
                answers.write(json.dumps(taken) + "\n")
    finally:
        watch.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
