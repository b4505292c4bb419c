"""The engine's stream, assembly and capture on a slot, without Kafka."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from cdc.assembly import Assembly
from cdc.capture import Capture
from cdc.pgoutput.messages import Begin, Commit, Keepalive
from cdc.records import TopicName
from cdc.settings import parse_tables
from cdc.stream import ReplicationConnection
from cdc.tables import Route
from tests.integration.cdc.server import Database
from tests.waiting import eventually


@dataclass
class Change:
    """A record as the engine's core makes it: everything of it but the time at which it was read."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[Any]


class Listener:
    """One slot read by the engine's stream, assembly and capture, without Kafka."""

    def __init__(
        self,
        database: Database,
        slot: str,
        tables: str,
        *,
        streaming: bool = True,
        memory: int = 65536,
        options: str = "",
    ):
        # The server streams, or spools on its own disk, what is beyond 64 kB.
        joint = "&" if "?" in database.url else "?"
        self._connection = ReplicationConnection(
            f"{database.url}{joint}options=-c%20logical_decoding_work_mem%3D64kB{options}"
        )
        self._database = database
        self.seen: Counter[str] = Counter()
        self.frames: list[bytes] = []
        stream = self._connection.start(slot, "p", deadline=30, streaming=streaming)
        read = stream._frames.read

        def counting(data: bytes) -> Any:
            self.frames.append(bytes(data))
            event = read(data)
            self.seen[type(event).__name__] += 1
            return event

        stream._frames.read = counting  # type: ignore[method-assign]
        self.stream = Assembly(stream, memory=memory)
        routes = {table: Route(TopicName(table.name), ("id",)) for table in parse_tables(tables)}
        self._capture = Capture(routes, b"7/db", clock=lambda: 0.0)
        self.changes: list[Change] = []

    def take(self, until: int | None = None) -> list[Change]:
        """Read up to an LSN, by default the present end of the log; return all changes so far."""
        end = self._database.wal_end() if until is None else until
        # Only what is flushed is sent.
        self._database.run("SET synchronous_commit = on; SELECT txid_current()")

        def there() -> bool:
            reached = False
            for event in self.stream.read(0.02):
                if isinstance(event, Begin):
                    self._capture.begin(event)
                elif isinstance(event, Commit):
                    reached |= event.end_lsn >= end
                elif isinstance(event, Keepalive):
                    reached |= event.wal_end >= end
                else:
                    records = self._capture.records(event)
                    self.changes += [Change(each.topic, each.key, each.value, each.headers) for each in records]
            return reached

        eventually(there, "the stream is at the end of the log")
        return self.changes

    def close(self) -> None:
        """End the connection."""
        self._connection.__exit__(None, None, None)
