"""Owns how the value of a raw record becomes columns, or the reason why not: what `HeaderParser.java` does on Flink.

A value is read in its order, so that the first fault is the one that Flink names; unknown fields are passed over
(CD-116). Must never know a filter or a topic. Facts: `JsonFactory` of Jackson as Flink carries it: which encoding it
takes bytes for, which broken UTF-8 it lets through, a thousand levels and a thousand digits at most.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Final

from flink_jobs.columns import CAPTURE_TIME, TEXT_COLUMNS
from flink_jobs.evaluator import Record

_KNOWN: Final = frozenset(TEXT_COLUMNS) | {CAPTURE_TIME}
_MOST_LEVELS: Final = 1000
_MOST_DIGITS: Final = 1000
_AT_ONCE: Final = 4000
"""So many characters of UTF-32 are read before the first of them is looked at; broken ones spoil what is with them."""

_INT64: Final = range(-(2**63), 2**63)

_BLANK: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE][+-]?([0-9]+))?")
_WORD: Final = re.compile(r"true|false|null")
_STRINGS: Final = json.JSONDecoder()

_BROKEN: Final = "\x7f"
"""Stands for bytes that are no text, and is always the last character: no value ends with it, so reading ends there."""

_IN_IDENTIFIERS: Final = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Nl", "Nd", "Mn", "Mc", "Sc", "Pc", "Cf", "Cc"))
"""General categories that `Character.isJavaIdentifierPart` takes; of control characters those from 7F to 9F on."""

_SEQUENCE: Final = re.compile(
    rb"[\x00-\x7f]+|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}"
)


class Fault(ValueError):  # noqa: N818 - the state of a record, told to whoever reads the dead-letter topic
    """Say why a value is no event header; trying again would not help."""


def parse(value: bytes) -> Record:
    """Return the columns of a raw record: text, `__ts_ms` a whole number, what is missing None.

    Raises:
        Fault: The value is no JSON object, has no text `id`, holds an object or array where a plain value belongs, or a
            `__ts_ms` that is no whole number.
    """
    reader = _Reader(*_text(value))
    first = reader.peek()
    if first != "{":
        if first not in {"", "[", '"'}:
            reader.scalar(root=True)
        raise Fault("not a JSON object" if first else "empty")
    columns: dict[str, str | int | None] = dict.fromkeys((*TEXT_COLUMNS, CAPTURE_TIME))
    reader.step()
    if reader.peek() != "}":
        while True:
            name = reader.name()
            if name in _KNOWN:
                columns[name] = _column(name, reader)
            else:
                reader.skip()
            if reader.peek() != ",":
                break
            reader.step()
    reader.expect("}")
    if rest := reader.peek():
        if rest not in '{["':
            reader.scalar(root=True)
        raise Fault("more than one JSON value")
    if not columns["id"]:
        raise Fault("field id is missing")
    return columns


def _column(name: str, reader: "_Reader") -> str | int | None:
    first = reader.peek()
    if first in {"{", "["}:
        raise Fault(f"field {name} is not a plain value")
    if first == '"':
        if name == CAPTURE_TIME:
            raise Fault(f"field {name} is not a whole number")
        return reader.string()
    # A number or boolean where text is expected is taken as it is written (CD-116).
    written = reader.scalar()
    if written == "null":
        return None
    if name == CAPTURE_TIME:
        if not written.removeprefix("-").isdigit():
            raise Fault(f"field {name} is not a whole number")
        if int(written) not in _INT64:
            raise Fault(f"not JSON: the number {written} does not fit into 64 bits")
        return int(written)
    if name == "id":
        raise Fault("field id is not a text")
    return written


class _Reader:
    """Read a text token by token; every method starts at the next one that is no blank."""

    def __init__(self, text: str, glued: Callable[[str], bool]) -> None:
        self._text = text
        self._glued = glued
        self._at = 0

    def peek(self) -> str:
        """Return the next character, or nothing at the end."""
        found = _BLANK.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return self._text[self._at : self._at + 1]

    def step(self) -> None:
        """Pass over one character."""
        self._at += 1

    def expect(self, character: str) -> None:
        """Pass over this character.

        Raises:
            Fault: Another one stands there.
        """
        if self.peek() != character:
            raise self._no_json(f"{character!r} was expected")
        self._at += 1

    def name(self) -> str:
        """Return the name of a field, and pass over its colon."""
        if self.peek() != '"':
            raise self._no_json("the name of a field was expected")
        name = self.string()
        self.expect(":")
        return name

    def string(self) -> str:
        """Return a text, which starts here."""
        try:
            found, self._at = _STRINGS.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise Fault(f"not JSON: {error}") from error
        return str(found)

    def scalar(self, *, root: bool = False) -> str:
        """Return a number, true, false or null as it is written; at the root, a blank or the end follows a number."""
        self.peek()
        if word := _WORD.match(self._text, self._at):
            self._at = word.end()
            if self._glued(self._text[self._at : self._at + 1]):
                raise self._no_json("a word that is none of true, false and null")
            return word.group()
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise self._no_json("a value was expected")
        self._at = number.end()
        _whole, fraction, exponent = number.groups()
        follows = self._text[self._at : self._at + 1]
        if follows and (
            follows in "0123456789"
            or (follows == "." and fraction is None and exponent is None)
            or (follows in "eE" and exponent is None)
            or (root and follows not in " \t\n\r")
        ):
            raise self._no_json("a number that is not finished")
        if sum(len(digits or "") for digits in number.groups()) > _MOST_DIGITS:
            raise self._no_json(f"a number of more than {_MOST_DIGITS} digits")
        return number.group()

    def skip(self) -> None:
        """Pass over a value of any kind; without recursion, because Jackson takes more levels than Python does."""
        open_ones: list[str] = []
        while True:
            match self.peek():
                case ("{" | "[") as bracket:
                    self._at += 1
                    open_ones.append("}" if bracket == "{" else "]")
                    if len(open_ones) >= _MOST_LEVELS:
                        raise self._no_json(f"more than {_MOST_LEVELS} levels")
                    if self.peek() != open_ones[-1]:
                        if bracket == "{":
                            self.name()
                        continue
                case '"':
                    self.string()
                case _:
                    self.scalar()
            while open_ones and self.peek() == open_ones[-1]:
                self._at += 1
                open_ones.pop()
            if not open_ones:
                return
            self.expect(",")
            if open_ones[-1] == "}":
                self.name()

    def _no_json(self, reason: str) -> Fault:
        return Fault(f"not JSON: {reason} at character {self._at}")


def _text(value: bytes) -> tuple[str, Callable[[str], bool]]:
    """Return the bytes as text, in the encoding that Jackson takes them for, and what ends no word in it."""
    encoding, body = _encoding(value)
    if encoding == "utf-8":
        try:
            return body.decode(), _glued_byte
        except UnicodeDecodeError:
            # A backslash may be a detour here; one that is none is told as something else than Flink tells it.
            return _lenient(body), lambda follows: follows == "\\" or _glued_byte(follows)
    if encoding.startswith("utf-16"):
        return body.decode(encoding, "replace"), _glued_character
    try:
        return body.decode(encoding, "surrogatepass"), _glued_character
    except UnicodeDecodeError as error:
        text = body[: error.start].decode(encoding, "surrogatepass")
        # What ends in the middle of a character is read as far as it goes.
        known = len(text) if error.end == len(body) and len(body) % 4 else len(text) // _AT_ONCE * _AT_ONCE
        return text[:known] + _BROKEN, _glued_character


def _glued_byte(follows: str) -> bool:
    """Tell whether Jackson takes what follows `true` for more of the word, in UTF-8: any byte beyond ASCII is."""
    return follows >= "\x7f" or follows.isalnum() or follows == "_"


def _glued_character(follows: str) -> bool:
    """Tell the same where Jackson reads units of UTF-16: a half of a pair is no part of an identifier."""
    return "0" <= follows <= "\uffff" and unicodedata.category(follows) in _IN_IDENTIFIERS


def _encoding(value: bytes) -> tuple[str, bytes]:
    """Tell the encoding by a byte order mark, which is taken off, or by where the first characters have zeros."""
    for mark, encoding in (
        (b"\x00\x00\xfe\xff", "utf-32-be"),
        (b"\xff\xfe\x00\x00", "utf-32-le"),
        (b"\xfe\xff", "utf-16-be"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xef\xbb\xbf", "utf-8"),
    ):
        # Fewer than four bytes are not looked at for a mark.
        if value.startswith(mark) and len(value) >= 4:
            return encoding, value[len(mark) :]
    zeros = tuple(byte == 0 for byte in value[:4])
    match zeros:
        case (True, True, True, _):
            return "utf-32-be", value
        case (_, True, True, True):
            return "utf-32-le", value
        case (True, True, _, True) | (True, _, True, True):
            raise Fault("not JSON: characters of four bytes in an order that nobody uses")
        case (True, _, *_):
            return "utf-16-be", value
        case (_, True, *_):
            return "utf-16-le", value
    return "utf-8", value


def _lenient(body: bytes) -> str:
    """Return what Jackson makes of bytes that are no UTF-8: it does not mind detours, nor halves of surrogate pairs."""
    units = bytearray()
    at = 0
    while found := _SEQUENCE.match(body, at):
        at = found.end()
        units += _units(found.group())
    text = units.decode("utf-16-be", "surrogatepass")
    return text if at == len(body) else text + _BROKEN


def _units(sequence: bytes) -> bytes:
    if sequence[0] < 0x80:
        return sequence.decode().encode("utf-16-be")
    code = sequence[0] & (0xFF >> (len(sequence) + 1))
    for byte in sequence[1:]:
        code = code << 6 | byte & 0x3F
    if code < 0x80 and len(sequence) < 4:
        # In a string it stands for itself, whatever it means to JSON; elsewhere it is as wrong as an escape.
        return f"\\u{code:04x}".encode("utf-16-be")
    if len(sequence) < 4:
        return code.to_bytes(2, "big")
    code -= 0x10000
    return b"".join(unit.to_bytes(2, "big") for unit in ((0xD800 | code >> 10) & 0xFFFF, 0xDC00 | code & 0x3FF))
