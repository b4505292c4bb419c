"""Owns the limits: the walsender read by `pg_recvlogical` into nothing, broker and reader fed by bare producers."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stack.cdc_bench.judge import identity
from stack.cdc_bench.latency import latency, measure
from stack.cdc_bench.load import Start
from stack.cdc_bench.outcome import Latency, Limit
from stack.cdc_bench.plan import Compression, Pace
from stack.cdc_bench.topic import Topic
from stack.errors import StackError
from stack.local import LocalStack
from stack.postgres import BINARIES

PUBLICATION = "event_headers_debezium_publication"
_SECONDS = 600


def walsender_rate(stack: LocalStack, slot: str, end: str, records: int) -> int:
    """Return records a second that the server sends to a reader that throws them away.

    The time counts from the reader's start to its end: some 20 ms more than the records take.

    Args:
        stack: Whose server.
        slot: A slot that stands before the backlog.
        end: The LSN behind it.
        records: How many there are before that.

    Raises:
        StackError: The reader fails.
    """
    options = ["-o", "proto_version=2", "-o", f"publication_names={PUBLICATION}", "-o", "messages=true"]
    where = ["-d", stack.settings.database_url, "-S", slot]
    command = [BINARIES / "pg_recvlogical", *where, "--start", "--no-loop", "-f", "/dev/null", "-F", "0"]
    began = time.perf_counter()
    _run([*map(str, command), *options, f"--endpos={end}"])
    return round(records / (time.perf_counter() - began))


def broker_rate(stack: LocalStack, source: Topic, target: Topic, records: int, compression: Compression) -> int:
    """Return records a second that one librdkafka producer, doing nothing else, has acknowledged.

    Raises:
        StackError: The producer fails.
    """
    module = "stack.cdc_bench.bare_producer"
    arguments = [stack.settings.kafka_bootstrap, source.name, target.name, str(records), compression]
    seconds = float(_run([sys.executable, "-m", module, *arguments]))
    return round(records / seconds)


def measured(stack: LocalStack, slot: str, end: str, records: int, source: Topic, compression: Compression) -> Limit:
    """Return both limits, one after the other."""
    walsender = walsender_rate(stack, slot, end, records)
    target = Topic(stack.settings.kafka_bootstrap, f"{source.name}-limit")
    broker = broker_rate(stack, source, target, records, compression)
    target.delete()
    return Limit(walsender, broker)


def floors(stack: LocalStack, turn: str, paces: Sequence[Pace], folder: Path) -> Iterator[tuple[str, Latency]]:
    """Give the latency of a bare producer at each pace, by the same reader: what no engine can go below.

    Raises:
        StackError: Producer or reader fails.
    """
    bootstrap = stack.settings.kafka_bootstrap
    for pace in paces:
        assert pace.rate is not None
        topic = Topic(bootstrap, f"{turn}-floor-{pace.name}")
        options = [bootstrap, topic.name, f"floor{pace.name}", str(pace.rate), str(pace.seconds)]
        command = [sys.executable, "-m", "stack.cdc_bench.paced_producer", *options]
        loop = measure(
            bootstrap, topic.name, folder / "read-floor", pace.rate, pace.seconds,
            generate=lambda command=command: list(_starts(_run(command))),  # type: ignore[misc]  # bound here
            arrived=lambda _count: None,
        )  # fmt: skip
        stored = {identity(each.key() or b""): each.timestamp()[1] for each in topic.read()}
        if (found := latency(loop, stored)) is not None:
            yield pace.name, found
        topic.delete()


def _starts(text: str) -> Iterator[Start]:
    for line in text.splitlines():
        due, sent, name = line.split()
        intended, at = int(due) / 1e9, int(sent) / 1e9
        # Nothing is committed: the record has left when `produce` returns.
        yield Start(name, intended, at - intended, at)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != 0:
        raise StackError(f"{command[0]} fails: {done.stderr.strip()[-400:]}", "See `logs/postgres.log`.")
    return done.stdout
