"""Ten million mutated bytes of recorded protocol: a record or a typed error, never another exception, never a hang.

The recording holds sessions of a real server, see tests/integration/cdc/test_recording.py. Each run goes through the
frames of one session in order, so that blocks open and spools fill; what comes out goes through assembly and capture to
the last byte of a record. Half of the runs mutate a frame here and there and end with the first error, as the engine
does. The others mutate most frames and go on after each error with the same parts, which is worse than what it does.
"""

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import psutil
import pytest
import structlog

from cdc.assembly import Assembly
from cdc.capture import Capture
from cdc.errors import CdcError
from cdc.lsn import Lsn
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.frames import FrameReader
from cdc.pgoutput.messages import Begin, Commit, Keepalive, WireEvent
from cdc.records import TopicName
from cdc.tables import Route, TableName

RECORDED = Path(__file__).parent / "recorded_protocol.json.gz"
BYTES = 10_000_000
SEED = 20261121
MEMORY = 20_000
GROWTH = 150_000_000
"""Bytes that the process may grow by: many times what a session needs, a fraction of what a length field can claim."""
HEAD = 25
EXTREMES = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", bytes(4), b"\xff\xff", b"\x7f\xff", b"\0\1")
ROUTES = {TableName("public", name): Route(TopicName("raw"), ("id",)) for name in ("a", "typed")}

Mutation = Callable[[Random, bytearray], int]


def sparse(random: Random, data: bytearray) -> int:
    """Overwrite one to three bytes."""
    count = random.randint(1, 3)
    for _ in range(count):
        at = random.randrange(len(data))
        data[at] ^= random.randint(1, 255)
    return count


def dense(random: Random, data: bytearray, start: int = 0) -> int:
    """Flip bits in about half of the bytes from `start` on; return how many bytes are others now."""
    size = len(data) - start
    if size <= 0:
        return 0
    mask = random.getrandbits(8 * size) & random.getrandbits(8 * size)
    data[start:] = (int.from_bytes(data[start:]) ^ mask).to_bytes(size)
    return size - mask.to_bytes(size).count(0)


def body(random: Random, data: bytearray) -> int:
    """Flip bits behind the type byte, so that the message is taken for what it was."""
    return dense(random, data, HEAD + 1 + random.randrange(12))


def cut(random: Random, data: bytearray) -> int:
    """Remove some bytes, at the end or within."""
    at = random.randrange(len(data))
    count = len(data) - at if random.random() < 0.5 else min(random.randint(1, 8), len(data) - at)
    del data[at : at + count]
    return count


def insert(random: Random, data: bytearray) -> int:
    """Insert some bytes."""
    count = random.randint(1, 60)
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(count)
    return count


def extreme(random: Random, data: bytearray) -> int:
    """Write the largest, smallest and most negative numbers where a length or a count may stand."""
    value = random.choice(EXTREMES)
    at = min(HEAD + random.randrange(max(1, len(data) - HEAD)), max(0, len(data) - len(value)))
    data[at : at + len(value)] = value
    return len(value)


def text(random: Random, data: bytearray) -> int:
    """Replace digits and signs by others: values that are still text but no value of their type."""
    places = [at for at in range(HEAD, len(data)) if 43 <= data[at] <= 58]
    for at in places:
        data[at] = random.choice(b'0123456789-+.:,{}"9')
    return len(places)


def retype(random: Random, data: bytearray) -> int:
    """Make another message of it."""
    if len(data) > HEAD:
        data[HEAD] = random.choice(b"BCORYIUDTMSEcAbPKrp")
    return 1


MUTATIONS: Sequence[Mutation] = (sparse, dense, body, body, cut, insert, extreme, extreme, text, retype)


class Session:
    """The parts of one session of the engine, fed with frames."""

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._waiting: list[WireEvent] = []
        self._assembly = Assembly(self, memory=MEMORY)
        self._capture = Capture(ROUTES, b"7/db")

    def read(self, timeout: float) -> list[WireEvent]:
        """Give the assembly what was received."""
        events, self._waiting = self._waiting, []
        return events

    def confirm(self, lsn: Lsn) -> None:
        """Nobody is there to be told."""

    def receive(self, frames: Sequence[bytes]) -> int:
        """Take frames as the loop does; return how many records they gave."""
        for frame in frames:
            self._waiting.append(self._reader.read(frame))
        records = 0
        while events := self._assembly.read(0):
            for event in events:
                if isinstance(event, Begin):
                    self._capture.begin(event)
                elif not isinstance(event, Commit | Keepalive):
                    records += len(self._capture.records(event))
        assert self._assembly._in_memory <= MEMORY + max(map(len, frames))
        self._assembly.confirm(Lsn(1))
        return records


@pytest.fixture(scope="module")
def sessions() -> dict[str, list[bytes]]:
    """The recorded frames by session."""
    recorded = json.loads(gzip.decompress(RECORDED.read_bytes()))
    sessions = {name: [bytes.fromhex(frame) for frame in frames] for name, frames in recorded.items()}
    return {name: list(without_empty_blocks(frames)) for name, frames in sessions.items()}


def without_empty_blocks(frames: Sequence[bytes]) -> Iterator[bytes]:
    """Leave out most blocks with nothing in them: they make up half of the recording."""
    for before, frame, after in zip([b"", *frames], frames, [*frames[1:], b""], strict=False):
        starts, first = frame[HEAD : HEAD + 1] == b"S", frame.endswith(b"\1")
        if starts and not first and after[HEAD:] == b"E":
            continue
        if frame[HEAD:] == b"E" and before[HEAD : HEAD + 1] == b"S" and not before.endswith(b"\1"):
            continue
        yield frame


def test_the_recording_gives_the_same_rows_in_every_protocol(sessions: dict[str, list[bytes]]) -> None:
    """Unmutated it is understood to the end, streamed, prepared or whole."""
    counts = {name: Session().receive(frames) for name, frames in sessions.items()}
    assert len(set(counts.values())) == 1
    assert counts.popitem()[1] == 48


def test_ten_million_mutated_bytes_crash_nothing(
    sessions: dict[str, list[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Any other exception than a typed one fails, with the seed; so do a hang and memory beyond bounds."""
    random, mutated = Random(SEED), 0
    outcomes: Counter[str] = Counter()
    before, slowest = psutil.Process().memory_info().rss, 0.0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        while mutated < BYTES:
            frames = random.choice(list(sessions.values()))
            light = random.random() < 0.5
            share = 0.02 if light else 0.7
            session = Session()
            for frame in frames:
                data = bytearray(frame)
                if random.random() < share:
                    mutated += random.choice(MUTATIONS)(random, data)
                    outcomes[_decoded(bytes(data))] += 1
                began = time.perf_counter()
                good = _fed(session, bytes(data), outcomes)
                slowest = max(slowest, time.perf_counter() - began)
                if light and not good:
                    break
    finally:
        structlog.reset_defaults()
    grown = psutil.Process().memory_info().rss - before
    with capsys.disabled():
        print(f"\nseed {SEED}: {mutated:,} bytes, {dict(outcomes)}, {grown >> 20} MiB, {slowest:.2f} s at most")  # noqa: T201
    assert outcomes["message"] > 10_000
    assert outcomes["refused"] > 10_000
    assert outcomes["records"] > 10_000
    assert grown < GROWTH
    assert slowest < 5


def _decoded(frame: bytes) -> str:
    try:
        decode(frame, HEAD)
    except CdcError:
        return "refused"
    return "message"


def _fed(session: Session, frame: bytes, outcomes: Counter[str]) -> bool:
    try:
        outcomes["records"] += session.receive([frame])
    except CdcError as error:
        outcomes[error.kind.value] += 1
        return False
    return True
