"""Values of raw records: headers in every spelling of JSON, and what is none in every way."""

import json
from random import Random
from typing import Any

USUAL = b'{"id": "u", "event_type": "CarCreated", "__op": "c"}'


def _nested(levels: int) -> bytes:
    return b'{"id": "n%d", "x": %s%s, "__op": "c"}' % (levels, b"[" * levels, b"]" * levels)


def _digits(text: str) -> bytes:
    return b'{"id": "d", "event_name": %s, "x": %s}' % (text.encode(), text.encode())


def _each(template: bytes, *parts: bytes) -> tuple[bytes, ...]:
    return tuple(template % part for part in parts)


def _encoded(*codes: str) -> tuple[bytes, ...]:
    return tuple(USUAL.decode().encode(code) for code in codes)


FOUND: tuple[bytes, ...] = (
    *(
        b"",
        b" ",
        b"\n",
        b"{",
        b"}",
        b"[]",
        b"[",
        b'"',
        b'"x',
        b"1",
        b"01",
        b"1.",
        b"-",
        b"null",
        b"nul",
        b"truex",
        b"{}",
    ),
    *_each(b'{"id": "a"}%s', b" ", b"{", b" 1", b" 1x", b" nul", b"]", b"//", b" \xff", b"[", b'"', b"\x00"),
    *(b"{,}", b'{"id": "a",}', b'{"id" "a"}', b'{"id": "a" "x": 1}', b'{id: "a"}', b"{'id': 'a'}"),
    *_each(b'{"id": %s}', b".5", b'""', b"true", b"1.x", b"1", b'"a\\x"', b'"\\u12"', b'"a\tb"', b"null", b'"a'),
    *(b'{"id": "a", "id": null}', b'{"id": null, "id": "a"}', b'{"\\u0069d": "a"}', b'{"id": "\\u0041\\n\\/"}'),
    *_each(b'{"id": "a", "event_name": %s}', b"1.50", b"-0", b"1E5", b"NaN", b"Infinity", b"01", b"1e", b"+1"),
    *_each(b'{"id": "a", "event_name": %s}', b"true", b"nullx", b"tru", b"true6", b"[]", b"{}", b"{", b"[1"),
    *_each(b'{"id": "a", "__ts_ms": %s}', b"-0", b"1.0", b"1e3", b'"1"', b"true", b"null", b"1.", b"00"),
    *_each(b'{"id": "a", "__ts_ms": %s}', b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808"),
    *_each(b'{"id": "a", "x": %s}', b'{"y": [1, {"z": "\\q"}]}', b'{"y": [1, {}, [], {"z": 01}]}', b"[1,]", b"[,1]"),
    *_each(b'{"id": "a", "x": %s}', b'{"y"}', b'{"y": 1,}', b"{1: 2}", b"[}", b"{]", b"[1 2]", b'{"y":{"id":5}}'),
    *(b'{"id": {"x": 1}, "no', b'{"event_type": [}', b'{"id": "a", "id": {}}', b'{"id": 5, x', b'{"x": 1x, "id": 5}'),
    *map(_nested, (997, 998, 999, 1000, 1001)),
    *map(_digits, ("1" * 1000, "1" * 1001, "-" + "1" * 1000, "0." + "1" * 999, "0." + "1" * 1000)),
    _digits("1" * 990 + "e" + "1" * 10),
    *_each(b'{"id": "%s"}', b"\xff", b"\xc3", b"\xc3\xa4", b"\xe2\x82", b"\xf0\x9f\x98", b"\x80"),
    b'{"id": 5, "\xff',
    # Detours that Jackson does not mind: NUL, a slash and a quotation mark in two bytes, a line end in three.
    *_each(b'{"id": "%s"}', b"a\xc0\x80b", b"a\xc0\xafb", b"a\xc0\xa2b", b"a\xe0\x80\x8ab", b"\xf0\x80\x80\x80"),
    # Halves of surrogate pairs, alone and together, as escapes and in three bytes.
    *_each(b'{"id": "%s"}', b"a\\ud83d", b"\\ude00b", b"\\ud83d\\ude00", b"\xed\xa0\xbd\xed\xb8\x80", b"\xed\xa0\xbd"),
    b'{"id": "h", "event_type": "\\ud83d", "header_data": "\xed\xb8\x80"}',
    *_encoded("utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le", "utf-16", "utf-32", "utf-8-sig"),
    *(b"\xfe\xff" + _encoded("utf-16-be")[0], b"\x00\x00\xfe\xff" + _encoded("utf-32-be")[0]),
    *(_encoded("utf-16-be")[0][:-1], _encoded("utf-32-le")[0][:-2]),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xff\xfe{\x00", b"\x00{", b"{\x00", b"{\x00}\x00", b"\x00\x00\x00{"),
    *(b"{\x00\x00\x00", b"\x00\x00\xff\xfe", b"\xfe\xff\x00\x00", b"\x00{\x00\x00", b"\x00\x00{\x00"),
    *(b"\x00", b"\x00\x00", b"\x00\x00\x00\x00"),
    # What may stand right behind a word: in UTF-8 no byte beyond ASCII, in other encodings no part of an identifier.
    *_each(
        b'{"id": true%s', b"\xe2\x80\xa8,", b"\xc2\xae", b"\xc3\xa4", b"\xc0\xa2", b"\xff", b"\x7f", b"\x00", b"$", b"_"
    ),
    *_each(b'{"id": "a"}null%s', b"\xe2\x80\xa8", b"\x7f", b"$", b"]", b"0"),
    *('{"id": true\u2028'.encode(code) for code in ("utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le")),
    *('{"id": true'.encode("utf-16-be") + each.encode("utf-16-be") for each in "$¢\xad€\U0001d7d8\x9fä"),
    # A character that is none spoils the whole of UTF-32; half a one at the end does not.
    *('{"id": true}'.encode("utf-32-be") + each for each in (b"\x00\x11\x00\x00", b"\x00\x00\x00", b"\x00")),
    *(b'{"id": "a\\u00%02x\x7f\xe2\x80\xa8"}' % code for code in range(0x20)),
)
"""What each rule is about, and where the two once differed; asked in every run."""


IDS = ("a", "e3e70682-c209-4cac-629f-6fbed82c07cd", "\x00", "ä😀", '"', "\\", "\ud83d", "LPT1", "\u2028", " ")
ODD = (None, True, False, 0, -5, 1.5, -1e-7, 1e300, "", "x", "\ud800", "\x1f")
EXTRA = (
    *ODD,
    [],
    {},
    [1, [None, {"id": "inner"}]],
    {"a": {"b": [True, "\udc00"]}, "": 0},
    [[[]], {}],
    {"__ts_ms": "x"},
)


def spelled(fields: dict[str, Any], choice: Random) -> bytes:
    """Return a header that can be read: columns of any kind, fields of no meaning, any order, either spelling."""
    fields = {**fields, "id": choice.choice(IDS)}
    for name in choice.sample(("event_name", "created_date", "header_data", "__table", "__op"), choice.randrange(3)):
        fields[name] = choice.choice(ODD)
    for name in choice.sample(("x", "ID", "", "__ts", "__deleted", "ä"), choice.randrange(4)):
        fields[name] = choice.choice(EXTRA)
    for name in choice.sample(("saved_date", "__op", "__ts_ms", "event_type"), choice.randrange(2)):
        del fields[name]
    names = choice.sample(list(fields), len(fields))
    separators = choice.choice(((",", ":"), (" , ", "\t:\n"), (", ", ": ")))
    text = json.dumps({name: fields[name] for name in names}, ensure_ascii=choice.random() < 0.5, separators=separators)
    return text.encode(errors="surrogatepass")


# No byte 255 among them: Jackson fills up the last four bytes of a name with it where it looks a name up, and so takes
# `header_d\xffata` for `header_data`, if it has met that before.
PIECES = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"0", b"1", b"-", b".", b"e", b" ", b"\n", b"/", b"#", b""),
    *(
        b"",
        b"",
        b"\x00",
        b"\xfe",
        b"\xc3",
        b"\xa4",
        b"\xf0\x9f",
        b"null",
        b"true",
        b"\\u12",
        b"\xef\xbb\xbf",
        b"\xed\xa0\xbd",
    ),
)


def broken(value: bytes, choice: Random) -> bytes:
    """Return a value with a piece put in, taken out or changed, once or twice: most of them are no header."""
    for _ in range(choice.randint(1, 2)):
        at = choice.randrange(len(value) + 1)
        value = value[:at] + choice.choice(PIECES) + value[at + choice.randrange(3) :]
    return value
