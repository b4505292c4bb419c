"""Owns the text form of PostgreSQL's arrays: a literal in, nested lists out. Knows no type.

Source of facts: PostgreSQL manual, chapter 8.15.6 "Array Input and Output Syntax", and `array_out`: an element is
quoted when it is empty, looks like NULL, or holds a brace, the delimiter, a quote, a backslash or white space. Only
within quotes does a backslash escape.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

ArrayValue: TypeAlias = list[object]
Element: TypeAlias = Callable[[str], object]

_BOUNDS: Final = re.compile(r"(?:\[[+-]?\d+:[+-]?\d+\])+=")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_DIMENSIONS: Final = 6
"""PostgreSQL's MAXDIM."""
_NOT_PLAIN: Final = re.compile(r'["\\{]')


def parse_array(text: str, element: Element | None = None, delimiter: str = ",") -> ArrayValue:
    """Return the elements of an array literal, nested by dimension; NULL becomes None.

    Lower bounds (`[0:1]={…}`) are left out: a list has none.

    Args:
        text: As `array_out` writes it.
        element: Turns the text of an element into its value; None keeps the text.
        delimiter: The element type's; a semicolon for `box`, a comma for every other type of PostgreSQL itself.

    Raises:
        ValueError: It is no array literal, or `element` refuses a text.
    """
    start = 0
    if text.startswith("["):
        bounds = _BOUNDS.match(text)
        if bounds is None:
            raise ValueError("the bounds of an array cannot be read")
        start = bounds.end()
    if text[start : start + 1] != "{" or text[-1:] != "}":
        raise ValueError("an array literal stands in braces")
    if _NOT_PLAIN.search(text, start + 1) is None:
        return _flat(text[start + 1 : -1], element, delimiter)
    found, end = _Literal(text, element, delimiter).elements(start + 1, 1)
    if end != len(text):
        raise ValueError("an array goes on after its end")
    return found


def _flat(inner: str, element: Element | None, delimiter: str) -> ArrayValue:
    """Split what holds neither quotes nor dimensions: most arrays."""
    if "}" in inner:
        raise ValueError("an array goes on after its end")
    if not inner:
        return []
    parts = inner.split(delimiter)
    if "" in parts:
        raise ValueError("an empty element without quotes")
    if element is None:
        return [None if part == "NULL" else part for part in parts]
    return [None if part == "NULL" else element(part) for part in parts]


@lru_cache(maxsize=8)
def _items(delimiter: str) -> re.Pattern[str]:
    """Return the pattern of what may stand at an element's place: an inner array, a quoted or a bare text."""
    return re.compile(rf'({{)|"([^"\\]*(?:\\.[^"\\]*)*)"|([^{{}}"\\{re.escape(delimiter)}]+)', re.DOTALL)


class _Literal:
    """Read a literal with quotes or dimensions from left to right."""

    def __init__(self, text: str, element: Element | None, delimiter: str) -> None:
        self._text = text
        self._element = element
        self._delimiter = delimiter
        self._item = _items(delimiter)

    def elements(self, at: int, depth: int) -> tuple[ArrayValue, int]:
        """Return the elements of the array whose brace ends before `at`, and where the text goes on after it."""
        if depth > _DIMENSIONS:
            raise ValueError("an array of too many dimensions")
        if self._text[at : at + 1] == "}":
            return [], at + 1
        found: ArrayValue = []
        while True:
            value, at = self._value(at, depth)
            found.append(value)
            mark = self._text[at : at + 1]
            at += 1
            if mark == "}":
                return found, at
            if mark != self._delimiter:
                raise ValueError("neither a delimiter nor the end behind an element of an array")

    def _value(self, at: int, depth: int) -> tuple[object, int]:
        item = self._item.match(self._text, at)
        if item is None:
            raise ValueError("an array without an element where one must be")
        brace, quoted, content = item.groups()
        if brace:
            return self.elements(item.end(), depth + 1)
        if quoted is not None:
            content = _ESCAPE.sub(r"\1", quoted) if "\\" in quoted else quoted
        elif content == "NULL":
            return None, item.end()
        return content if self._element is None else self._element(content), item.end()
