"""The document is stored as it was written, apart from the spelling of the keys that are read (EV-17, EV-91)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer import document
from producer.refusals import NotJsonError, StructureError

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_JSON, min_size=1, max_size=6), st.sampled_from([None, 1, "\t\r\n "]))
def test_the_elements_of_an_array_are_cut_at_their_own_ends(values: list[Any], indent: int | str | None) -> None:
    """Joined again they are the array, in any layout (EV-91)."""
    text = json.dumps(values, indent=indent)
    parts = list(document.elements(f" {text}\n"))
    assert [json.loads(part) for part in parts] == values
    assert all(part == part.strip() and part in text for part in parts)


NOT_JSON = [
    b"",
    b"{",
    b"[1,]",
    b"{'a':1}",
    b"NaN",
    b"Infinity",
    b"1e400",
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\x00"',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"name=value&other=1",
    b"[" * 2000 + b"]" * 2000,
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:12]))
def test_what_is_not_json_in_utf8_is_refused(body: bytes) -> None:
    """Bad syntax, bad UTF-8, lone surrogates, byte order marks, endless nesting (EV-19)."""
    with pytest.raises(NotJsonError):
        document.parse(body)


@pytest.mark.parametrize("value", ["\0", {"\0": 1}, [[{"a": ["x\0y"]}]]], ids=repr)
def test_a_nul_character_anywhere_is_refused(value: object) -> None:
    r"""PostgreSQL's text has no U+0000, neither in keys nor in values."""
    body = json.dumps(value).encode()
    with pytest.raises(StructureError, match="u0000"):
        document.parse(body)


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    r"""The six characters \u0000 as text are storable."""
    body = json.dumps({"path": r"C:\u0000"}).encode()
    assert rb"\u0000" in body
    assert document.parse(body) == {"path": r"C:\u0000"}


SNAKE = """{"event_header": {"event_name": "n", "eventType": "t", "created_date": 1, "event_type": "ignored"},
 "entities": [{"entity_header": {"entity_id": "1", "entity_type": "Car", "created_at": 1, "updated_at": 2},
  "entity_id": "mine", "event_name": "mine", "price": 932.1600, "serial": 12345678901234567890123, "tiny": 1e-30}]}"""


def test_snake_case_headers_become_camel_case_and_the_rest_stays() -> None:
    """Where both spellings are given camelCase counts; properties keep their names (EV-17, EV-91)."""
    assert not document.is_canonical(json.loads(SNAKE))
    stored = json.loads(document.canonical(SNAKE))
    assert document.is_canonical(stored)
    assert stored["eventHeader"] == {"eventName": "n", "eventType": "t", "createdDate": 1}
    (entity,) = stored["entities"]
    assert entity["entityHeader"] == {"entityId": "1", "entityType": "Car", "createdAt": 1, "updatedAt": 2}
    assert (entity["entity_id"], entity["event_name"]) == ("mine", "mine")


def test_numbers_keep_every_digit_when_keys_are_renamed() -> None:
    """No number goes through a float on its way (EV-91)."""
    written = document.canonical(SNAKE)
    for number in ("932.1600", "12345678901234567890123", "1e-30"):
        assert f":{number}" in written


@pytest.mark.parametrize("depth", [300, 900, 1015])
def test_nesting_that_cannot_be_written_again_is_refused(depth: int) -> None:
    """Renaming keys or cutting an array of a very deep document is refused, not a crash (EV-8)."""
    deep = SNAKE.replace('"mine"', "[" * depth + "]" * depth, 1)
    document.parse(deep.encode())
    with pytest.raises(StructureError, match="nested too deeply"):
        document.canonical(deep)
    # How deep the standard library follows differs between Python versions; it either does, or the event is refused.
    try:
        parts = list(document.elements(f"[{deep}]"))
    except StructureError as error:
        parts = [str(error)]
    assert parts in ([deep], ["an event is nested too deeply"])
