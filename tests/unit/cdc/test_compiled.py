"""Compiled code gives what the plain code gives, or leaves it to the plain code."""

import os
import subprocess
import sys
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.postgres import types as postgres_types

from cdc import compiled
from cdc.envelope import CREATE, READ, UPDATE, Payload, TableEncoder
from cdc.errors import CdcError, ProtocolError
from cdc.lsn import LARGEST_LSN, Lsn
from cdc.pgoutput.decoder import decode_plainly
from cdc.pgoutput.messages import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    ReplicaIdentity,
    Row,
    Type,
    Update,
)

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="nothing is compiled: no C compiler when it was built")

NAMES = ("text", "jsonb", "timestamptz", "int8", "bool", "numeric", "float8", "bytea", "timestamp", "uuid")
SHAPE = Relation(
    7,
    "public",
    'a "table"\n',
    ReplicaIdentity.DEFAULT,
    tuple(Column(f"ü{name}", postgres_types[name].oid, -1, name in ("text", "int8")) for name in NAMES),
)
ORDINARY = ("a", "{}", "2026-11-21 03:05:00.5+00", "-12", "t", "1.50", "1e-7", "\\x00ff", "2026-11-21 03:05:00", "b")
texts = st.one_of(
    st.text(st.characters(exclude_characters="\0"), max_size=40),
    st.text('\x00\x01\x08\t\n\x0b\x0c\r\x1f "\\/\x7f\x80é\u2028😀\udc80a0-+:TZ', max_size=30),
    st.from_regex(r"-?[0-9]{1,20}", fullmatch=True),
    st.from_regex(r"[0-9é]{4}-[0-9]{2}-[0-9]{2} [0-9:.]{0,9}\+[0-9]{2}", fullmatch=True),
    st.sampled_from(("t", "f", "", "NaN", "-0", "00", "-", "1e400", "infinity", "-infinity", *ORDINARY)),
)
values = st.none() | texts | st.just(UNCHANGED)
rows = st.one_of(
    st.tuples(*(st.none() | texts for _ in NAMES)),
    st.tuples(*(st.just(each) | texts for each in ORDINARY)),
    st.lists(values, min_size=len(NAMES) - 1, max_size=len(NAMES) + 1).map(tuple),
)
oids, lsns, times = st.integers(0, 2**32 - 1), st.integers(0, LARGEST_LSN).map(Lsn), st.integers(0, 2**60)
sent = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60)
tuples = st.lists(st.none() | st.just(UNCHANGED) | sent | st.binary(max_size=20), max_size=8).map(tuple)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Begin, lsns, times, oids),
    st.builds(Commit, lsns, lsns, times),
    st.builds(Insert, oids, tuples),
    st.builds(Update, oids, tuples, st.booleans(), tuples),
    st.builds(Update, oids, st.none(), st.just(False), tuples),
    st.builds(Delete, oids, tuples, st.booleans()),
    st.builds(Type, oids, st.just("public"), st.just("mood")),
)


def told(encode: Callable[..., Payload | list[Payload]], *given: object) -> Payload | list[Payload] | str:
    """Return what an encoder makes of a row: its payloads, or its error."""
    try:
        return encode(*given)
    except CdcError as error:
        return f"{error.kind} {error}"


def plain_encoder() -> TableEncoder:
    """Return an encoder that leaves the compiled code alone."""
    encoder = TableEncoder(SHAPE)
    encoder._write = None
    return encoder


@given(row=rows, operation=st.sampled_from((CREATE, READ, UPDATE)), now_ms=st.integers(0, 2**62))
@example(row=ORDINARY, operation=CREATE, now_ms=0)
def test_a_row_is_written_alike(row: Row, operation: str, now_ms: int) -> None:
    """Key, value and every error are those of the plain code, to the byte (CD-49, CD-117)."""
    quick, plain = TableEncoder(SHAPE).row, plain_encoder().row
    assert told(quick, row, operation, now_ms) == told(plain, row, operation, now_ms)


@given(row=rows, old=st.none() | rows, old_is_key=st.booleans(), now_ms=st.integers(0, 2**62))
@example(row=ORDINARY, old=None, old_is_key=False, now_ms=0)
def test_an_update_is_written_alike(row: Row, old: Row | None, old_is_key: bool, now_ms: int) -> None:
    """Whatever the server sent of the old row: the same payloads, the same errors (CD-49, CD-117)."""
    if old is not None and len(old) != len(row):
        old = row
    update = Update(SHAPE.oid, old, old_is_key, row)
    assert told(TableEncoder(SHAPE).update, update, now_ms) == told(plain_encoder().update, update, now_ms)


def test_an_ordinary_row_is_written_by_compiled_code() -> None:
    """What the other tests compare is not the plain code with itself."""
    writer = TableEncoder(SHAPE)._form.writer
    assert writer is not None
    assert writer.write(ORDINARY, CREATE, 0) is not None
    assert writer.write((*ORDINARY[:-1], UNCHANGED), CREATE, 0) is None
    assert writer.write((*ORDINARY[:-1], b"binary"), CREATE, 0) is None


def test_a_writer_at_work_is_left_alone() -> None:
    """Whoever comes in the middle of a row, as another thread may, gets the plain code and disturbs nothing."""
    inner: list[object] = []

    def convert(text: str) -> str:
        inner.append(writer.write((text * 5000,), CREATE, 0))
        return text

    assert compiled.row_writer is not None
    writer = compiled.row_writer([b'"a":'], [4], [convert], [0], {CREATE: b'"b":'})
    assert writer.write(("x",), CREATE, 1) == (b'{"a":"x"}', b'{"a":"x","b":1}')
    assert inner == [None, None]


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1000, max_size=3000), st.integers(1, 60))
def test_long_values_are_written_alike(text: str, times: int) -> None:
    """The buffer grows to what a row needs, and beyond a megabyte the plain code writes it (CD-117)."""
    row = (text * times, text, *ORDINARY[2:])
    quick, plain = TableEncoder(SHAPE).row, plain_encoder().row
    assert told(quick, row, CREATE, 1) == told(plain, row, CREATE, 1)


@given(message=messages, before=st.binary(max_size=3))
def test_a_message_is_decoded_alike(wire: Callable[[Message], bytes], message: Message, before: bytes) -> None:
    """Compiled code gives the plain decoder's message, wherever in the bytes it begins."""
    data = before + wire(message)
    found = compiled.decode(data, len(before))
    assert found == (None if isinstance(message, Type) else decode_plainly(data, len(before)))
    assert found == compiled.decode(memoryview(data), len(before))


@given(message=messages, seed=st.integers(0, 2**32))
def test_what_the_plain_decoder_refuses_is_not_decoded(
    wire: Callable[[Message], bytes], message: Message, seed: int
) -> None:
    """Bytes that are no message, or end early or late, give none (and so the plain decoder's error)."""
    random, data = Random(seed), bytearray(wire(message))
    for _ in range(random.randint(1, 3)):
        data[random.randrange(len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    end = random.choice((len(data), random.randint(0, len(data))))
    mutated = bytes(data[:end]) + bytes(random.choice((0, 0, 3)))
    found = compiled.decode(mutated, 0)
    try:
        expected = decode_plainly(mutated)
    except ProtocolError:
        assert found is None
    else:
        assert found is None or found == expected


@pytest.mark.parametrize("setting", ["off", "OFF"])
def test_it_can_be_left_out(setting: str) -> None:
    """With CDC_COMPILED=off the plain code does everything."""
    asked = "from cdc import compiled; print(compiled.AVAILABLE, compiled.decode(b'', 0), compiled.row_writer)"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "CDC_COMPILED": setting},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["False", "None", "None"]
