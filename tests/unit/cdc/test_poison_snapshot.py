"""A snapshot with poison rows, cut off anywhere: each row is a record or a letter, once, whichever topic was behind."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.capture import Capture
from cdc.catalog import Table
from cdc.ledger import Limits, Span
from cdc.letters.deadletters import DeadLetter, Letters
from cdc.lsn import Lsn, Position
from cdc.pgoutput.messages import Relation
from cdc.positions import partition_of
from cdc.readback import Search, Tail
from cdc.records import Record, TopicName
from cdc.snapshot import Earlier, Place, SnapshotCopy
from cdc.tables import Route, TableName

RAW, DEAD = TopicName("raw"), TopicName("dlq-raw")
TABLE = TableName("public", "event_headers")
SOURCE = b"7/db"
PARTITIONS = {RAW: 2, DEAD: 2}
FIRST = Lsn(0x100)
ROWS = [f"{number:02}" for number in range(12)]
LETTERS = Letters({RAW: DEAD}, {RAW: 1500, DEAD: 1500})
"""Narrow, so that the letter of a large row has several parts."""


class CutOffError(Exception):
    """The process is gone."""


class Topics:
    """Two topics; each attempt's records reach a partition in order, as many of them as the attempt's fate allows."""

    def __init__(self) -> None:
        self.stored: dict[Place, list[Record]] = defaultdict(list)
        self.room: Mapping[Place, int] = {}
        self.left = 0

    def send(self, record: Record, span: Span) -> None:
        """Store a record if its partition has room; the attempt ends after so many records."""
        if self.left == 0:
            raise CutOffError
        self.left -= 1
        place = (record.topic, partition_of(record.key, PARTITIONS[record.topic]))
        taken = self._taken[place]
        self._taken[place] = taken + 1
        if taken < self.room.get(place, 10_000):
            self.stored[place].append(record)
        span.acknowledge()

    def poll(self, timeout: float) -> None:
        """Nothing waits."""

    def begin(self, room: Mapping[Place, int], left: int) -> None:
        """Begin an attempt."""
        self.room, self.left, self._taken = room, left, Counter[Place]()

    def earlier(self) -> Earlier:
        """Read the ends back, as the engine does."""
        search = Search(SOURCE, frozenset({TABLE}), Position.of_snapshot_row(FIRST, 0))
        covered: dict[TopicName, list[dict[TableName, tuple[str, ...]]]] = {}
        positions = []
        for topic, count in PARTITIONS.items():
            tails = [Tail() for _ in range(count)]
            for number, tail in enumerate(tails):
                for record in reversed(self.stored[topic, number]):
                    if not search.note(tail, dict(record.headers)):
                        break
            covered[topic] = [tail.covered for tail in tails]
            positions += [tail.position for tail in tails if tail.position is not None]
        return Earlier(covered, frozenset(), max(positions, default=None))


attempts = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from([(RAW, 0), (RAW, 1), (DEAD, 0), (DEAD, 1)]), st.integers(0, 6)),
        st.integers(0, 20),
    ),
    max_size=4,
)
kinds = st.lists(st.sampled_from(["fine", "fine", "large", "no text"]), min_size=len(ROWS), max_size=len(ROWS))


@settings(max_examples=120, deadline=None)
@given(cuts=attempts, kinds=kinds)
def test_every_row_is_a_record_or_a_letter_once(
    headers_relation: Relation, cuts: list[tuple[dict[Place, int], int]], kinds: list[str]
) -> None:
    """Whatever each partition of either topic had taken when an attempt was cut off (CD-113)."""
    texts = {"fine": "fine", "large": "x" * 4000, "no text": "caf\udce9"}
    rows = [(key, texts[kind], None, None, None, "{}") for key, kind in zip(ROWS, kinds, strict=True)]
    relation = headers_relation
    table = Table(TABLE, relation.oid, False, relation.replica_identity, relation.columns, ("id",), (), None)
    topics = Topics()
    for number, (room, left) in enumerate([*cuts, ({}, 10_000)]):
        topics.begin(room, left)
        capture = Capture({TABLE: Route(RAW, ("id",))}, SOURCE, letters=LETTERS)
        earlier = topics.earlier() if number else Earlier()
        copy = SnapshotCopy(capture, topics, Lsn(FIRST + 8 * number), earlier=earlier, limits=Limits(records=2))
        boundaries = list(copy.boundaries(RAW, TABLE).values())
        try:
            copy.copy(table, RAW, [(row, tuple((row[0],) > key for key in boundaries)) for row in rows])
        except CutOffError:
            continue
    read: Counter[str] = Counter()
    for records in topics.stored.values():
        for record in records:
            if not isinstance(record, DeadLetter) or record.last:
                read[record.key.decode()] += 1
                kind = kinds[ROWS.index(record.key.decode()[7:9])]
                assert isinstance(record, DeadLetter) == (kind != "fine")
    assert read == Counter({f'{{"id":"{key}"}}': 1 for key in ROWS})
