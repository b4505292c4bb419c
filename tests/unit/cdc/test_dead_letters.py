"""A dead letter holds what could not be a record, exact, in parts that any topic takes; a cut letter is no letter."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.capture import Capture
from cdc.errors import CdcError, Kind
from cdc.letters.deadletters import DeadLetter, Letters, Reason, announce, describe_relation, read_relation
from cdc.letters.letterbox import Assembly, Letter, unfold
from cdc.letters.reencoding import encode_again
from cdc.letters.scan import StoredRecord
from cdc.letters.sizes import wire_size
from cdc.lsn import Lsn, Position
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.encoder import encode_change
from cdc.pgoutput.messages import UNCHANGED, Begin, Delete, Insert, Message, Relation, Update
from cdc.records import POSITION, SOURCE, XID, Headers, Record, TopicName
from cdc.tables import Route, TableName

RAW, DEAD = TopicName("raw"), TopicName("dlq-raw")
PLACE = Position(Lsn(0x16B374D848), 8)
HEADERS: Headers = [(POSITION, PLACE.encode()), (SOURCE, b"7/db"), (XID, b"9")]
ROW = ("1", "Car Created", None, "2026-11-21 03:05:00.5+00", None, "{}")
BAD = ("1", "caf\udce9", None, None, None, "{}")

texts = st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape"))
rows = st.lists(st.none() | st.just(UNCHANGED) | texts | st.binary(max_size=20), max_size=8).map(tuple)
oids = st.integers(0, 2**32 - 1)
changes = st.one_of(
    st.builds(Insert, oids, rows),
    st.builds(Update, oids, rows, st.booleans(), rows),
    st.builds(Update, oids, st.none(), st.just(False), rows),
    st.builds(Delete, oids, rows, st.booleans()),
)


def letters(limit: int = 20_000, dead_limit: int = 20_000) -> Letters:
    """Return the making of letters between two topics of these sizes."""
    return Letters({RAW: DEAD}, {RAW: limit, DEAD: dead_limit})


def stored(records: list[Record], first: int = 0) -> list[StoredRecord]:
    """Return records as a topic gives them back."""
    return [
        StoredRecord(each.topic, 0, offset, each.key, each.value, dict(each.headers), 5000)  # type: ignore[arg-type]
        for offset, each in enumerate(records, first)
    ]


def assembled(records: list[Record]) -> tuple[Letter, bytes]:
    """Return the one letter of these records, and its parts in one piece."""
    assembly = Assembly()
    for record in stored(records):
        assembly.take(record)
    (letter,) = assembly.letters()
    return letter, b"".join(records[offset].value or b"" for offset in letter.offsets)


@given(change=changes)
def test_a_change_encodes_to_the_bytes_it_came_from(change: Insert | Update | Delete) -> None:
    """Whatever the columns hold, also bytes that are no UTF-8."""
    data = encode_change(change)
    assert decode(data) == change
    assert encode_change(decode(data)) == data  # type: ignore[arg-type]


@given(message=changes.filter(lambda change: "\\udc" not in repr(change)))
def test_our_encoder_and_that_of_the_tests_agree(wire: Callable[[Message], bytes], message: Insert) -> None:
    """Both are written from the manual, each by itself."""
    assert encode_change(message) == wire(message)


@given(
    key=st.binary(max_size=3000),
    value=st.none() | st.binary(min_size=1000, max_size=5000),
    unavailable=st.binary(max_size=600),
    dead_limit=st.sampled_from([1200, 2000, 5000, 20_000]),
)
def test_any_record_comes_back_from_its_parts(
    key: bytes, value: bytes | None, unavailable: bytes, dead_limit: int
) -> None:
    """Key, value, headers, a tombstone: exact, and every part fits the dead-letter topic, however narrow."""
    headers: Headers = [*HEADERS, ("cdc.unavailable", unavailable)]
    record = Record(RAW, key, value, PLACE, headers)
    parts = list(letters(100, dead_limit).admit(record, "public.t"))
    assert all(wire_size(part.key, part.value, part.headers) <= dead_limit for part in parts)
    letter, whole = assembled(parts)
    content = unfold(letter, whole)
    assert (content.key, content.value) == (key, value)
    assert sorted(map(str, content.headers)) == sorted(map(str, headers[1:]))
    assert (letter.topic, letter.position, letter.reason) == (RAW, PLACE, "too_large")


def test_only_the_last_part_has_the_position() -> None:
    """A letter that was cut off is not there for whoever looks where the topic ends; it is sent again, whole."""
    record = Record(RAW, b"k", bytes(50_000), PLACE, HEADERS)
    parts = list(letters().admit(record, "public.t"))
    assert [POSITION in dict(part.headers) for part in parts] == [False, False, True]
    assert {part.key for part in parts} == {b"k"}
    letter, whole = assembled([*parts[:2], *parts])
    assert letter.offsets == (2, 3, 4)
    assert whole == bytes(50_000)
    cut = Assembly()
    for each in stored(parts[:2]):
        cut.take(each)
    assert cut.letters() == ()


def test_others_records_are_counted_and_markers_heeded() -> None:
    """The Flink job has its letters there; a marker may be read before its letter."""
    (part,) = letters(100).admit(Record(RAW, b"k", bytes(200), PLACE, HEADERS), "public.t")
    marker: Headers = [("dlq-replayed", PLACE.encode()), ("dlq-topic", RAW.encode()), (SOURCE, b"7/db")]
    flink: Headers = [("dlq-reason", b"not JSON"), ("dlq-topic", b"raw"), ("dlq-partition", b"0"), ("dlq-offset", b"1")]
    assembly = Assembly()
    for each in stored([
        Record(DEAD, b"", b"x", PLACE, flink),
        Record(DEAD, b"k", b"", PLACE, marker),
        part,
    ]):  # fmt: skip
        assembly.take(each)
    assert assembly.others == 1
    assert [letter.replayed for letter in assembly.letters()] == [True]


def test_what_fits_stays_what_it_is() -> None:
    """To the byte; and a topic without dead letters is left to the broker."""
    record = Record(RAW, b"k", b"v" * 500, PLACE, HEADERS)
    size = wire_size(record.key, record.value, record.headers)
    assert letters(size).admit(record, "t") == (record,)
    assert all(isinstance(each, DeadLetter) for each in letters(size - 1).admit(record, "t"))
    assert Letters().admit(record, "t") == (record,)
    assert Letters().certain > 2**60


def test_a_record_that_was_refused_is_a_letter_whatever_its_size() -> None:
    """By its position; a row of a snapshot by its key, because its position is another in every attempt."""
    record = Record(RAW, b"k", b"v", PLACE, HEADERS)
    refused = replace(letters(), refused=frozenset({(RAW, PLACE), (RAW, b"k")}))
    moved = replace(record, position=Position(Lsn(1), 1))
    assert refused.certain < 0
    assert isinstance(refused.admit(record, "t")[0], DeadLetter)
    assert refused.admit(moved, "t") == (moved,)
    assert isinstance(refused.admit(moved, "t", by_key=True)[0], DeadLetter)


def test_a_dead_letter_topic_too_narrow_for_anything_stops_the_engine() -> None:
    """A loss would be the alternative."""
    with pytest.raises(CdcError, match="too few for any letter") as caught:
        letters(100, 300).admit(Record(RAW, b"k", bytes(200), PLACE, HEADERS), "t")
    assert caught.value.kind is Kind.RECORD_TOO_LARGE


def poisoned(relation: Relation) -> Capture:
    """Return a capture in the middle of a transaction."""
    routes = {TableName("public", "event_headers"): Route(RAW, ("id",))}
    capture = Capture(routes, b"7/db", clock=lambda: 1000.5, letters=letters())
    capture.begin(Begin(Lsn(0x100), 5, 9))
    capture.records(relation)
    return capture


@pytest.mark.parametrize(
    "change",
    [
        Insert(16401, BAD),
        Update(16401, None, False, BAD),
        Update(16401, ("0", None, None, None, None, None), True, BAD),
        Delete(16401, ("caf\udce9", None, None, None, None, None), True),
    ],
)
def test_a_poison_change_takes_its_place_and_no_other(
    headers_relation: Relation, change: Insert | Update | Delete
) -> None:
    """One letter with the change's bytes and its relation; the positions of its neighbours do not move."""
    capture = poisoned(headers_relation)
    before = capture.records(Insert(16401, ROW))
    found = list(capture.records(change))
    after = capture.records(Insert(16401, ROW))
    assert [each[0].position.ordinal for each in (before, found, after)] == [4, 8, 12]
    letter, whole = assembled(found)
    content = unfold(letter, whole)
    assert content.value == encode_change(change)
    assert (letter.reason, letter.table, letter.headers[XID]) == ("unencodable", "public.event_headers", b"9")
    with pytest.raises(CdcError, match="cannot be written as JSON"):
        encode_again(letter, content)


def test_a_better_version_makes_the_records_that_were_due(headers_relation: Relation) -> None:
    """The letter of a change of key gives deletion, tombstone and creation, marked and without `cdc.position`."""
    change = Update(16401, ("0", None, None, None, None, None), True, ROW)
    lost = Record(RAW, b"k", encode_change(change), PLACE, HEADERS)
    cause = CdcError(Kind.UNENCODABLE, "once")
    letter, whole = assembled(list(letters().unencodable(cause, lost, headers_relation, ("id",))))
    records = encode_again(letter, unfold(letter, whole))
    assert [(record.key, record.value is None) for record in records] == [
        (b'{"id":"0"}', False),
        (b'{"id":"0"}', True),
        (b'{"id":"1"}', False),
    ]
    for record in records:
        headers = dict(record.headers)
        assert headers["cdc.replayed_position"] == PLACE.encode()
        assert POSITION not in headers
        assert not any(name.startswith("dlq-") for name in headers)


def test_a_relation_survives_its_json(headers_relation: Relation) -> None:
    """With the primary key of its table; anything else is refused."""
    assert read_relation(describe_relation(headers_relation, ("id",))) == (headers_relation, ("id",))
    for other in (b"", b"{}", b"[]", b'{"columns":[{}]}'):
        with pytest.raises(ValueError, match=r".*"):
            read_relation(other)


def test_a_letter_is_counted_once_however_many_parts_it_has() -> None:
    """By its reason, with the last of them."""
    counted: list[str] = []
    for part in letters().admit(Record(RAW, b"k", bytes(50_000), PLACE, HEADERS), "public.t"):
        announce(part, counted.append)
    announce(Record(RAW, b"k", b"v", PLACE, HEADERS), counted.append)
    assert counted == [Reason.TOO_LARGE.value]
