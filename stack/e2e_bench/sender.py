"""Owns the sender: a process that posts sample events on a fixed timetable, whatever the answers take.

One thread over several kept connections, because a lean sender leaves the two cores to what is measured. Time counts
from the moment at which an event should have been sent, so that a slow pipeline is not spared (an open loop). A moment
is in seconds of `time.perf_counter()`, which all processes of a system share. Answers go to the descriptor that it is
given, as JSON.
"""

import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from httptools import HttpResponseParser

import schemas

_CONNECTIONS: Final = 16
_ANSWER_SECONDS: Final = 30.0
_READ_BYTES: Final = 65536


@dataclass(slots=True)
class Posted:
    """Follow one event: its id and type, when it was due and answered, and the HTTP status (0: no answer)."""

    event_id: str
    event_type: str
    due: float
    answered: float = 0.0
    status: int = 0


def events(types: list[str], seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield id, type and body of sample events of these types in turn, without end; ids are random."""
    bits = Random(seed).getrandbits  # noqa: S311 - names of events, no secrets
    pieces: list[tuple[str, list[str]]] = []
    for sample in schemas.samples().values():
        header, (entity, *_more) = sample["eventHeader"], sample["entities"]
        if header["eventType"] in types:
            text = json.dumps(sample, separators=(",", ":"))
            for known in (header["uuid"], entity["entityHeader"]["entityId"]):
                text = text.replace(known, "\0")
            pieces.append((header["eventType"], text.split("\0")))
    while True:
        for event_type, parts in pieces:
            digits = f"{bits(128):032x}"
            event_id = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
            yield event_id, event_type, event_id.join(parts).encode()


class Connection:
    """Hold one kept connection with at most one request under way."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=_ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST /api/v1/events HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            "Content-Length: %d\r\n\r\n"
        ).encode()
        self._posted: Posted | None = None
        self._done = False
        self._parser: Any = None

    def fileno(self) -> int:
        """Return the descriptor, for `select`."""
        return self.socket.fileno()

    def send(self, posted: Posted, body: bytes) -> None:
        """Send one request."""
        self._posted, self._done, self._parser = posted, False, HttpResponseParser(self)
        self.socket.sendall(self._head % len(body) + body)

    def receive(self) -> bool:
        """Read what is there; return whether the answer is complete.

        Raises:
            ConnectionError: The server has closed.
        """
        if not (read := self.socket.recv(_READ_BYTES)):
            raise ConnectionResetError("the producer has closed the connection")
        self._parser.feed_data(read)
        if self._done and self._posted is not None:
            self._posted.answered, self._posted.status = time.perf_counter(), self._parser.get_status_code()
            self._posted = None
        return self._done

    def on_message_complete(self) -> None:
        """Note the end of the answer; called by the parser."""
        self._done = True


def post_all(
    address: tuple[str, int], types: list[str], rate: float, count: int, clock: Callable[[], float]
) -> list[Posted]:
    """Post events, the n-th of them n / rate seconds after the first.

    Raises:
        OSError: The producer cannot be reached, or ends a connection.
        TimeoutError: Answers are missing for half a minute.
    """
    free = deque(Connection(*address) for _ in range(_CONNECTIONS))
    everyone = list(free)
    waiting: deque[tuple[Posted, bytes]] = deque()
    made = events(types, time.monotonic_ns())
    all_posted: list[Posted] = []
    answered, start = 0, clock() + 0.05
    while answered < count:
        now = clock()
        while len(all_posted) < count and now >= (due := start + len(all_posted) / rate):
            event_id, event_type, body = next(made)
            all_posted.append(Posted(event_id, event_type, due))
            waiting.append((all_posted[-1], body))
        while waiting and free:
            free.popleft().send(*waiting.popleft())
        pause = _ANSWER_SECONDS if len(all_posted) == count else max(0.0, start + len(all_posted) / rate - clock())
        # `select` alone waits for less than a millisecond; there are few descriptors.
        ready, _, _ = select.select([each for each in everyone if each not in free], [], [], pause)
        if not ready and len(all_posted) == count:
            raise TimeoutError(f"{count - answered} requests have no answer")
        for connection in ready:
            if connection.receive():
                answered += 1
                free.append(connection)
    for connection in everyone:
        connection.socket.close()
    return all_posted


def main() -> int:
    """Post what the arguments say; write what became of it."""
    descriptor, host, port, rate, count, *types = sys.argv[1:]
    posted = post_all((host, int(port)), types, float(rate), int(count), time.perf_counter)
    with os.fdopen(int(descriptor), "w") as answers:
        json.dump([(each.event_id, each.event_type, each.due, each.answered, each.status) for each in posted], answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
