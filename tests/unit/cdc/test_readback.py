"""Reading back from a topic's end finds our own last record, and how far a snapshot came, among whatever is there."""

from dataclasses import dataclass, field

import orjson
import pytest
from confluent_kafka import KafkaError, TopicPartition

from cdc.lsn import Lsn, Position
from cdc.readback import MessageHeaders, Search, Tail, tails_at_rest
from cdc.records import TopicName
from cdc.tables import TableName

SOURCE = b"7/db"
ONE, TWO = TableName("public", "one"), TableName("public", "a.two")


def streamed(lsn: int, source: bytes = SOURCE) -> dict[str, str | bytes | None]:
    """Return the headers of a change."""
    return {"cdc.position": Position(Lsn(lsn), 4).encode(), "cdc.source": source}


def read(point: int, row: int, table: TableName, *key: str) -> dict[str, str | bytes | None]:
    """Return the headers of a snapshot row."""
    position = Position.of_snapshot_row(Lsn(point), row).encode()
    place = orjson.dumps((table.schema, table.name, key))
    return {"cdc.position": position, "cdc.source": SOURCE, "cdc.snapshot": place}


@pytest.mark.parametrize(
    "foreign",
    [{}, {"cdc.position": b"0/8/4"}, streamed(8, b"8/db"), {**streamed(8), "cdc.position": b"?"}, {"x": None}],
)
def test_foreign_records_are_passed_over(foreign: dict[str, str | bytes | None]) -> None:
    """What another program, or another database, wrote neither counts nor ends the search."""
    tail = Tail()
    assert Search(SOURCE).note(tail, foreign)
    assert Search(SOURCE).note(tail, None)
    assert tail.position is None


def test_the_last_own_record_ends_the_search() -> None:
    """One record is enough when no snapshot is under way."""
    tail = Tail()
    assert not Search(SOURCE).note(tail, list(streamed(24).items()))
    assert tail.position == Position(Lsn(24), 4)


def test_a_snapshot_is_searched_for_the_last_key_of_each_table() -> None:
    """Behind the streamed records come the snapshot's rows, the last of each table first."""
    tail = Tail()
    search = Search(SOURCE, frozenset({ONE, TWO}), Position.of_snapshot_row(Lsn(16), 0))
    assert search.note(tail, streamed(24))
    assert search.note(tail, read(16, 9, TWO, "7", "b"))
    assert search.note(tail, read(16, 8, TWO, "7", "a"))
    assert not search.note(tail, read(16, 3, ONE, "z"))
    assert tail == Tail(Position(Lsn(24), 4), {TWO: ("7", "b"), ONE: ("z",)})


def test_an_older_snapshot_is_not_taken_for_this_one() -> None:
    """What came before this snapshot's first row ends the search without counting."""
    tail = Tail()
    search = Search(SOURCE, frozenset({ONE}), Position.of_snapshot_row(Lsn(16), 0))
    assert not search.note(tail, read(8, 5, ONE, "a"))
    assert tail.covered == {}


def test_another_generation_of_shards_ends_the_search() -> None:
    """All of it lies before everything of this one, so a new shard does not read the topic to its beginning."""
    search, tail = Search(b"7/db#2.0of2"), Tail()
    assert not search.note(tail, streamed(24, b"7/db#1.0of2"))
    assert not search.note(tail, streamed(24))
    assert not Search(SOURCE).note(tail, streamed(24, b"7/db#1.0of2"))
    assert tail.position is None


def test_a_sibling_and_what_was_sent_again_do_not_end_the_search() -> None:
    """Siblings write between our records; a dead letter of an old generation is sent again at any time, unplaced."""
    search, tail = Search(b"7/db#2.0of2"), Tail()
    assert search.note(tail, streamed(32, b"7/db#2.1of2"))
    assert search.note(tail, {"cdc.replayed_position": b"0/8/4", "cdc.source": SOURCE})
    assert not search.note(tail, streamed(24, b"7/db#2.0of2"))
    assert tail.position == Position(Lsn(24), 4)


def test_how_far_the_topics_go_every_shard_tells() -> None:
    """Whoever asks that does not go on from there: any generation counts."""
    tail = Tail()
    assert not Search(SOURCE, any_shard=True).note(tail, streamed(24, b"7/db#1.0of2"))
    assert tail.position == Position(Lsn(24), 4)


@dataclass
class Answer:
    """A record of partition 0 of the topic `raw`."""

    at: int
    content: MessageHeaders

    def topic(self) -> str:
        """Return its topic."""
        return "raw"

    def partition(self) -> int:
        """Return its partition."""
        return 0

    def offset(self) -> int:
        """Return its offset."""
        return self.at

    def error(self) -> KafkaError | None:
        """Return no error."""
        return None

    def headers(self) -> MessageHeaders:
        """Return its headers."""
        return self.content


@dataclass
class Busy:
    """A topic to which others append whenever somebody looks for its end."""

    appended: list[dict[str, str | bytes | None]]
    records: list[dict[str, str | bytes | None]] = field(default_factory=list)
    looks: int = 0
    next: int = 0

    def get_watermark_offsets(
        self, _partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """Append, then tell the ends."""
        assert self.looks < 20, "nobody could go on from here"
        if self.looks < len(self.appended):
            self.records.append(self.appended[self.looks])
        else:
            self.records.append(streamed(1000 + self.looks, b"7/db#2.1of2"))
        self.looks += 1
        return 0, len(self.records)

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read on from there."""
        self.next = partitions[0].offset

    def poll(self, timeout: float = -1) -> Answer:
        """Return the next record."""
        self.next += 1
        return Answer(self.next - 1, self.records[self.next - 1])


def test_what_others_append_keeps_nobody_waiting() -> None:
    """A shard goes on while its siblings write: the end is found when none of its own records is added any more."""
    mine = b"7/db#2.0of2"
    # A predecessor's last records come late, one of them behind the first reading.
    busy = Busy([streamed(8, mine), streamed(16, mine), streamed(24, b"7/db#2.1of2")])
    tails = tails_at_rest(busy, {TopicName("raw"): 1}, Search(mine), lambda: None)
    assert tails == {"raw": [Tail(Position(Lsn(16), 4))]}


def test_a_part_of_a_letter_is_an_own_record() -> None:
    """Only a letter's last part tells a position; while the parts before it still arrive, the last one may as well."""
    mine = b"7/db#2.0of2"
    part: dict[str, str | bytes | None] = {"dlq-position": b"0/10/4", "dlq-part": b"1/2", "cdc.source": mine}
    busy = Busy([streamed(8, mine), part, {**part, **streamed(16, mine), "dlq-part": b"2/2"}])
    tails = tails_at_rest(busy, {TopicName("raw"): 1}, Search(mine), lambda: None)
    assert tails == {"raw": [Tail(Position(Lsn(16), 4))]}
