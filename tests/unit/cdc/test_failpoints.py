"""A failpoint does nothing unless it was armed, counts its own reachings, and knows where it is by what was sent."""

import os
import signal
from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from cdc import failpoints
from cdc.failpoints import Armed, Failpoint, after, arm, at_record, parse_armed, points_of, reach
from cdc.letters.deadletters import DeadLetter, Reason
from cdc.lsn import Lsn, Position
from cdc.records import SNAPSHOT, XID, Headers, Record, TopicName
from cdc.settings import Settings


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Leave nothing armed behind."""
    yield
    arm(None)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Take down whom a failpoint would kill, and by which signal."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(failpoints.os, "kill", lambda pid, number: found.append((pid, number)))
    return found


def record(ordinal: int, value: bytes | None, headers: Headers) -> Record:
    """Return a record at a place of a transaction."""
    return Record(TopicName("t"), b"k", value, Position(Lsn(8), ordinal), headers)


def part(*, last: bool) -> DeadLetter:
    """Return a part of a dead letter."""
    return DeadLetter(
        TopicName("dlq"), b"k", b"v", Position(Lsn(8), 4), [], reason=Reason.TOO_LARGE, table="a.b", error="",
        destination=TopicName("t"), last=last,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "armed"),
    [
        ("", None),
        ("confirmed", Armed(Failpoint.CONFIRMED)),
        ("record_sent:17", Armed(Failpoint.RECORD_SENT, 17)),
    ],
)
def test_name_and_count_are_read(text: str, armed: Armed | None) -> None:
    """A name alone is its first reaching."""
    assert parse_armed(text) == armed


@pytest.mark.parametrize("text", ["there_is_none", "confirmed:0", "confirmed:-1", "confirmed:", ":1", "CONFIRMED", "é"])
def test_what_is_none_is_refused_with_the_list(text: str) -> None:
    """Whoever misspells one sees them all."""
    with pytest.raises(ValueError, match="expected name:count") as caught:
        parse_armed(text)
    assert all(point.value in str(caught.value) for point in Failpoint)


def test_only_the_armed_one_kills_and_only_at_its_count(killed: list[tuple[int, int]]) -> None:
    """SIGKILL, to this process and no other, behind what had to be settled first."""
    settled: list[str] = []
    with capture_logs() as log:
        arm(Armed(Failpoint.CONFIRMED, 2))
        reach(Failpoint.CONFIRMING)
        reach(Failpoint.CONFIRMED, lambda: settled.append("too early"))
        assert not killed
        assert not settled
        reach(Failpoint.CONFIRMED, lambda: settled.append("settled"))
    assert killed == [(os.getpid(), signal.SIGKILL)]
    assert settled == ["settled"]
    assert [(each["event"], each["failpoint"], each["log_level"]) for each in log] == [
        ("failpoint_armed", "confirmed", "warning"),
        ("failpoint_reached", "confirmed", "warning"),
    ]


def test_unarmed_nothing_is_there_to_be_called_for_each_record(killed: list[tuple[int, int]]) -> None:
    """The hot path has the call itself, and no watcher of records."""

    def acknowledge() -> None:
        """Be somebody's acknowledgement."""

    assert after(Failpoint.ACKNOWLEDGED, acknowledge) is acknowledge
    assert at_record(acknowledge) is None
    arm(Armed(Failpoint.CONFIRMED))
    assert at_record(acknowledge) is None
    for point in set(Failpoint) - {Failpoint.CONFIRMED}:
        reach(point)
    assert not killed


def test_what_was_sent_tells_where_we_are() -> None:
    """Parts of letters, tombstones, later changes and rows of both kinds of snapshot are told apart."""
    own: Headers = [(XID, b"7")]
    initial: Headers = [(SNAPSHOT, b'["public","t",["1"]]')]
    chunk: Headers = [(SNAPSHOT, b'["public","t",["1"],"request"]')]
    found = {
        "first": record(4, b"v", own),
        "second": record(8, b"v", own),
        "tombstone": record(5, None, own),
        "row": record(0, b"v", initial),
        "chunk": record(8, b"v", chunk),
        "part": part(last=False),
        "whole": part(last=True),
    }
    assert {name: {*points_of(each)} - {Failpoint.RECORD_SENT} for name, each in found.items()} == {
        "first": set(),
        "second": {Failpoint.TRANSACTION_TORN},
        "tombstone": {Failpoint.CHANGE_TORN},
        "row": {Failpoint.SNAPSHOT_ROW},
        "chunk": {Failpoint.CHUNK_TORN},
        "part": {Failpoint.LETTER_TORN},
        "whole": set(),
    }
    assert all(Failpoint.RECORD_SENT in points_of(each) for each in found.values())
    assert {point for each in found.values() for point in points_of(each)} == failpoints.OF_RECORDS


def test_what_is_torn_is_in_kafka_first_and_what_is_sent_is_not(killed: list[tuple[int, int]]) -> None:
    """Only so a test can rely on what the next engine finds."""
    flushed: list[str] = []
    for point, at in ((Failpoint.RECORD_SENT, record(4, b"v", [])), (Failpoint.LETTER_TORN, part(last=False))):
        arm(Armed(point))
        watch = at_record(lambda point=point: flushed.append(point.value))
        assert watch is not None
        watch(at)
    assert len(killed) == 2
    assert flushed == ["letter_torn"]


def test_an_unknown_name_is_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine does not start as if nothing were armed."""
    required = {"DATABASE_URL": "postgresql://h/d", "KAFKA_BOOTSTRAP_SERVERS": "h:1"}
    for name, value in {**required, "CDC_FAILPOINT": "slot_taken:2"}.items():
        monkeypatch.setenv(name, value)
    assert Settings().cdc_failpoint == Armed(Failpoint.SLOT_TAKEN, 2)
    monkeypatch.setenv("CDC_FAILPOINT", "nowhere:1")
    with pytest.raises(ValidationError, match="snapshot_promoted") as caught:
        Settings()
    assert caught.value.errors()[0]["loc"] == ("cdc_failpoint",)
