"""Incremental snapshots against a model of PostgreSQL: commits nobody sees yet, crashes at every step."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.backfill import course, work
from cdc.backfill.course import Course
from cdc.backfill.window import Recent, Snapshot, Verdict, Window
from cdc.backfill.work import Backfill
from cdc.capture import Capture
from cdc.lsn import Position
from cdc.pgoutput.messages import Begin, Keepalive, Relation
from cdc.positions import partition_of
from cdc.simulation import backfill as model


@pytest.fixture(autouse=True, scope="module")
def _small_chunks() -> Iterator[None]:
    """Let a table of thirty rows take many chunks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "_FIRST_ROWS", 2)
        patch.setattr(course, "_MOST_ROWS", 5)
        patch.setattr(work, "_PAUSE_S", 0.0)
        yield


def judge(seed: int, relation: Relation) -> None:
    """Run a seed; what is promised of the rows must hold."""
    postgres, partitions, at_request, changed = model.run(seed, relation)
    folded: dict[str, dict[str, object]] = {}
    versions: dict[str, str] = {}
    read: Counter[str] = Counter()
    for records in partitions:
        assert [record.position for record in records] == sorted({record.position for record in records})
        for record in records:
            key = orjson.loads(record.key)["id"]
            if record.value is None:
                folded.pop(key, None)
                continue
            fields = orjson.loads(record.value)
            if fields["__op"] == "d":
                continue
            assert fields["event_name"] >= versions.get(key, ""), f"{key} was set back"
            versions[key] = fields["event_name"]
            folded.setdefault(key, {}).update({name: fields[name] for name in fields if name[0] != "_"})
            read[key] += fields["__op"] == "r"
    names = [column.name for column in relation.columns]
    assert folded == {key: dict(zip(names, row, strict=True)) for key, row in postgres.rows.items()}
    assert at_request - changed <= {key for key, times in read.items() if times == 1}
    assert {key for key, times in read.items() if times > 1} <= changed


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_crash_and_no_late_commit_loses_repeats_or_sets_back_a_row(seed: int, headers_relation: Relation) -> None:
    """Folded in order, the records of each key give the table; versions only grow; `r` comes once, unless changed."""
    judge(seed, headers_relation)


def always_send(_window: Window, _oid: int, _key: bytes, _snapshot: Snapshot) -> Verdict:
    """Judge no row as old."""
    return Verdict.SEND


def never_again(window: Window, oid: int, key: bytes, snapshot: Snapshot) -> Verdict:
    """Drop a row although its change came without its large value."""
    verdict = JUDGE(window, oid, key, snapshot)
    return Verdict.DROP if verdict is Verdict.READ_AGAIN else verdict


def remembers_nothing(_recent: Recent) -> frozenset[int]:
    """Avoid no transaction."""
    return frozenset()


JUDGE = Window.judge
BUGS = {
    "changes in the window are ignored": (Window, "judge", always_send),
    "a value that no record has is dropped": (Window, "judge", never_again),
    "commits that nobody sees yet are ignored": (Recent, "frozen", remembers_nothing),
    "the server may forget the state": (Backfill, "hold", property(lambda _: None)),
    "the topic is not asked for rows of the cut chunk": (
        Course,
        "__init__",
        lambda self, opened: START(self, replace(opened, covered={})),
    ),
    "what others may have locked before is ignored": (
        Backfill,
        "_begin_work",
        lambda self, opened: WORK(self, replace(opened, writers=frozenset())),
    ),
}
START, WORK = Course.__init__, Backfill._begin_work


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, headers_relation: Relation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of the argument is needed: without it some seed breaks a promise."""
    monkeypatch.setattr(*BUGS[bug])
    for seed in range(1500):
        try:
            judge(seed, headers_relation)
        except AssertionError:
            return
    pytest.fail(f"not found: {bug}")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_change_is_there_beside_the_snapshot(seed: int, headers_relation: Relation) -> None:
    """A job moves, drops and repeats no record of the stream."""
    postgres, partitions, _, _ = model.run(seed, headers_relation)
    capture = Capture(model.ROUTES, model.SOURCE)
    due: list[list[tuple[Position, bytes]]] = [[] for _ in range(model.PARTITIONS)]
    for _, _, events in postgres.wal:
        if isinstance(events[0], Begin):
            capture.begin(events[0])
            for event in events[1:-1]:
                assert not isinstance(event, Keepalive)
                for record in capture.records(event):
                    due[partition_of(record.key, model.PARTITIONS)].append((record.position, record.key))
    streamed = [[(each.position, each.key) for each in records if each.position.lsn % 8 == 0] for records in partitions]
    assert streamed == due
