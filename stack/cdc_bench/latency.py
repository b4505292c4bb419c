"""Owns one open loop: a reader that notes arrivals, a generator that notes starts, and the times between the two."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.cdc_bench.figures import Percentiles
from stack.cdc_bench.judge import identity
from stack.cdc_bench.load import Start
from stack.cdc_bench.outcome import Latency
from stack.errors import StackError

_LATE_SECONDS = 0.001
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Loop:
    """What one open loop has noted: starts, and when each record was read first, in seconds since the epoch."""

    rate: int
    seconds: int
    starts: list[Start]
    read: dict[str, float]


def measure(
    bootstrap: str, topic: str, file: Path, rate: int, seconds: int,
    generate: Callable[[], list[Start]], arrived: Callable[[int], object],
) -> Loop:  # fmt: skip
    """Run one open loop.

    Args:
        bootstrap: The broker's address.
        topic: Where the records arrive.
        file: Where the reader writes meanwhile.
        rate: Transactions a second.
        seconds: How long.
        generate: Make them, and return when each was to start.
        arrived: Wait until so many more records are in the topic.

    Raises:
        StackError: The reader or the generator fails.
    """
    with _reading(bootstrap, topic, file):
        starts = generate()
        arrived(len(starts))
    read = dict(reversed([_arrival(line) for line in file.read_bytes().splitlines()]))
    file.unlink()
    return Loop(rate, seconds, starts, read)


def _arrival(line: bytes) -> tuple[str, float]:
    at, _, key = line.partition(b" ")
    return identity(key), int(at) / 1e9


@contextmanager
def _reading(bootstrap: str, topic: str, file: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "stack.cdc_bench.reader", bootstrap, topic, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            # At its end, when it has failed, this line is empty; its exit code is asked for below.
            reader.stdout.readline()
            yield
        except BaseException:
            reader.kill()
            raise
        reader.stdin.close()
        if reader.wait(_SECONDS) != 0:
            raise StackError("The reader of the topic fails.", "See its error above.")


def latency(loop: Loop, stored_ms: Mapping[str, int]) -> Latency | None:
    """Return the percentiles of one open loop, None when not one record arrived.

    Args:
        loop: What was noted.
        stored_ms: When the broker stored each record, in milliseconds since the epoch.
    """
    found = [each for each in loop.starts if each.record in loop.read and each.record in stored_ms]
    if not found:
        return None

    def times(of: Callable[[Start], float], among: Sequence[Start]) -> Percentiles:
        return Percentiles.of([1000 * of(each) for each in among])

    return Latency(
        rate=loop.rate,
        reached=round(len(loop.starts) / loop.seconds, 1),
        late=sum(each.late > _LATE_SECONDS for each in loop.starts),
        samples=len(found),
        from_intended=times(lambda each: loop.read[each.record] - each.intended, found),
        from_commit=times(lambda each: loop.read[each.record] - each.committed, found),
        commit=times(lambda each: each.committed - each.intended, found),
        to_append=times(lambda each: stored_ms[each.record] / 1000 - each.committed, found),
    )
