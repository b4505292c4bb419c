"""Array literals of PostgreSQL become lists: nested, with nulls and quoting, and nothing that is none gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.arrays import parse_array

TEXTS = st.none() | st.text(max_size=8) | st.text(alphabet='{},;"\\ \nNULnul', max_size=8)


def literal(value: object, delimiter: str = ",") -> str:
    """Write a list as `array_out` does: quotes where the manual's chapter 8.15.6 asks for them."""
    if isinstance(value, list):
        return "{" + delimiter.join(literal(each, delimiter) for each in value) + "}"
    if value is None:
        return "NULL"
    text = str(value)
    special = set('{}"\\' + delimiter)
    if text == "" or text.upper() == "NULL" or any(sign in special or sign.isspace() for sign in text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return text


@st.composite
def arrays(draw: st.DrawFn) -> list[object]:
    """Arrays of one to four dimensions, of equal length in each, as PostgreSQL's are; or an empty one."""
    lengths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))

    def build(lengths: list[int]) -> object:
        return [build(lengths[1:]) for _ in range(lengths[0])] if lengths else draw(TEXTS)

    made = build(lengths)
    assert isinstance(made, list)
    return draw(st.sampled_from([made, []]))


@given(arrays(), st.sampled_from([",", ";"]))
def test_every_array_comes_back_from_its_literal(value: list[object], delimiter: str) -> None:
    """Quotes, backslashes, braces, delimiters, texts that look like NULL, every dimension."""
    assert parse_array(literal(value, delimiter), None, delimiter) == value


@given(st.lists(st.none() | st.integers()))
def test_every_element_is_converted_but_null(value: list[int | None]) -> None:
    """The element's converter sees each text, never a NULL."""
    assert parse_array(literal(value), int) == value
    assert parse_array(literal([value]) if value else "{}", int) == ([value] if value else [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[0:2]={1,2,3}", ["1", "2", "3"]),
        ("[-1:0][2:3]={{1,2},{NULL,4}}", [["1", "2"], [None, "4"]]),
        ('{"(1,\\"a b\\")",null}', ['(1,"a b")', "null"]),
        ("{a b,NULLS}", ["a b", "NULLS"]),
        ("{}", []),
    ],
)
def test_bounds_are_left_out_and_only_the_word_null_is_null(text: str, value: list[object]) -> None:
    """Lower bounds have no place in a list."""
    assert parse_array(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "}", "1,2", "{1,2", "{1,,2}", "{1,}", "{,1}", "{1}}", "{{1}", "{1}{2}", '{"a}', '{"a"b}', "{a{1}}",
        "{{1}2}", '{"a",}', "[1:2]", "[x]={1}", "{a\\,b}", "{{1},}", "{" * 7 + "}" * 7,
    ],
)  # fmt: skip
def test_what_is_no_array_is_refused(text: str) -> None:
    """No guess, no partial list."""
    with pytest.raises(ValueError, match=r"array|element"):
        parse_array(text)


@given(st.text(alphabet='{},"\\a1N[]:=', max_size=40))
def test_any_text_is_an_array_or_a_value_error(text: str) -> None:
    """Whatever stands there: a list, or the one error that the envelope understands."""
    try:
        assert isinstance(parse_array(text), list)
    except ValueError:
        return
