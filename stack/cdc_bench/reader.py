"""Owns a process that notes when each record of a topic can be read: `python -m stack.cdc_bench.reader`.

A process of its own, so that nothing else of the measurement delays it: one consumer whose fetches wait at the broker
for the first byte, no commit, no group, no garbage collection. It says `ready` when it waits at the ends of the
partitions, and writes what it saw when its standard input is closed.
"""

import gc
import sys
import threading
import time
from pathlib import Path

from confluent_kafka import Consumer, Message, TopicPartition

_WAIT_SECONDS = 0.1
_QUIET_SECONDS = 0.5
_CONFIG: dict[str, str | int | bool] = {
    "group.id": "bench-reader",
    "enable.auto.commit": False,
    "fetch.min.bytes": 1,
    "fetch.wait.max.ms": 100,
    "socket.nagle.disable": True,
}


def main(bootstrap: str, topic: str, file: Path) -> None:
    """Note the moment of each record in nanoseconds since the epoch, behind it the record's key; a line for each."""
    reader = Consumer({"bootstrap.servers": bootstrap, **_CONFIG})
    partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
    ends = [TopicPartition(topic, each) for each in partitions]
    for end in ends:
        end.offset = reader.get_watermark_offsets(end, timeout=10)[1]
    reader.assign(ends)
    # The connection to the broker is opened by the first fetch.
    reader.poll(1.0)
    told = threading.Event()
    threading.Thread(target=_listen, args=(told,), daemon=True).start()
    seen: list[tuple[int, Message]] = []
    gc.disable()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while (message := reader.poll(_QUIET_SECONDS if told.is_set() else _WAIT_SECONDS)) or not told.is_set():
        if message is not None:
            seen.append((time.time_ns(), message))
    reader.close()
    with file.open("wb") as output:
        output.writelines(b"%d %s\n" % (at, message.key()) for at, message in seen if message.error() is None)


def _listen(told: threading.Event) -> None:
    sys.stdin.read()
    told.set()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
