r"""Owns the regular expressions of `matches`: the part of Java's dialect that Python shares, and its translation.

Flink hands an expression to `java.util.regex`; Python would read some of it differently, and some of it differs between
versions of Java. Such an expression is refused with the reason, so that what is tried here is what runs there. What is
left (alternatives, groups, classes, repetitions, lookahead, the flags i and s) has one meaning; only `.` and `$`, for
which Java knows five line ends and Python one, are rewritten. Must never know SQL or a record. Facts: `Pattern` of Java
17 and 21 (`\b` changed its meaning in 19), module `re` of Python 3.11.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

_ANY: Final = r"[^\n\r\u0085\u2028\u2029]"
_END: Final = r"(?=(?:\r\n|[\r\u0085\u2028\u2029]|(?<!\r)\n)?\Z)"
"""Java's `$`: at the end, or before a line end that is the last thing; never inside CR LF."""

_MOST_REPETITIONS: Final = 1000
_MOST_GROUPS: Final = 5
_LONGEST: Final = 256
"""Java's matcher calls itself for each turn of a repeated group, and a long value would end the job by an overflow of
the stack (measured with a stack of 1 MB: past 500 characters with groups five deep). So such an expression takes no
longer value than this.
"""

_ESCAPE: Final = r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.|\Z)"
_TOKEN: Final = re.compile(
    rf"""(?P<escape>{_ESCAPE})
    | (?P<open>\((?:\?(?:[a-zA-Z-]*[:)]|.|\Z))?)
    | (?P<repeat>(?:\{{[0-9]+(?:,[0-9]*)?\}}|[*+?])[?+]?)
    | (?P<class>\[\^?(?:{_ESCAPE}|[^\]\\])*\]?)
    | (?P<plain>.)""",
    re.VERBOSE | re.DOTALL,
)
_FLAGS: Final = re.compile(r"\(\?[is]*(?:-[is]+)?:")
_ALL_FLAGS: Final = re.compile(r"\(\?[is]+\)")
_LETTERS: Final = frozenset("dDwWsSnrtf")


class UnsharedPatternError(ValueError):
    """Say which part of an expression Java and Python do not read alike, and what to write instead."""


def in_java(expression: str) -> str:
    r"""Return an expression for Java's `find` that takes a whole text, line ends included, or nothing."""
    short = rf"(?=[\s\S]{{0,{_LONGEST}}}\z)" if _repeats_group(expression) else ""
    return rf"\A{short}(?:{expression})\z"


@lru_cache(maxsize=1024)
def whole(expression: str) -> Callable[[str], bool]:
    """Return a test whether a whole text matches an expression, as Java decides it.

    Raises:
        UnsharedPatternError: It is no regular expression, or not the same one for Java and for Python.
    """
    translated = "".join(_translated(expression))
    try:
        # Java's classes, and its (?i), know ASCII only.
        compiled = re.compile(translated, re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnsharedPatternError(str(error)) from error
    longest = _LONGEST if _repeats_group(expression) else None
    return lambda text: (longest is None or len(text) <= longest) and compiled.fullmatch(text) is not None


def _repeats_group(expression: str) -> bool:
    tokens = [token.group() for token in _TOKEN.finditer(expression)]
    return any(last == ")" and each[0] in "*+{" for last, each in pairwise(tokens))


def _translated(expression: str) -> Iterator[str]:
    """Yield the expression in Python's dialect, piece by piece."""
    # For each open group: whether (?s) holds in it, and whether it can be repeated.
    groups = [(False, True)]
    repeatable = False
    for token in _TOKEN.finditer(expression):
        piece, kind = token.group(), token.lastgroup
        if kind == "repeat":
            yield _repetition(piece, repeatable=repeatable)
            repeatable = False
            continue
        repeatable = kind in {"escape", "class"} or piece not in {"^", "$", "|"}
        match kind:
            case "escape":
                yield _escape(piece)
            case "class":
                yield _class(piece)
            case "open" if _ALL_FLAGS.fullmatch(piece) and token.start() == 0:
                groups[0] = ("s" in piece, True)
                repeatable = False
                yield piece
            case "open":
                groups.append((_opening(piece, dotall=groups[-1][0]), piece not in {"(?=", "(?!"}))
                repeatable = False
                if len(groups) > _MOST_GROUPS + 1:
                    raise UnsharedPatternError(f"groups stand more than {_MOST_GROUPS} deep in each other")
                yield piece
            case _:
                if piece == ")" and len(groups) > 1:
                    repeatable = groups.pop()[1]
                yield _plain(piece, dotall=groups[-1][0])


def _repetition(piece: str, *, repeatable: bool) -> str:
    if not repeatable:
        raise UnsharedPatternError(f"{piece!r} has nothing to repeat; put what it repeats into (?:…)")
    if len(piece) > 1 and piece.endswith("+"):
        raise UnsharedPatternError(f"the possessive repetition {piece!r} is not supported; write it without the last +")
    if any(int(count) > _MOST_REPETITIONS for count in re.findall("[0-9]+", piece)):
        raise UnsharedPatternError(f"{piece!r} repeats more than {_MOST_REPETITIONS} times")
    return piece


def _escape(piece: str) -> str:
    sign = piece[1:2]
    code = int(piece[2:] or "0", base=16)
    known = sign in _LETTERS or (len(piece) > 2 and not 0xD800 <= code <= 0xDFFF)
    if not sign or not (known or (sign.isascii() and sign.isprintable() and not sign.isalnum())):
        raise UnsharedPatternError(
            rf"{piece!r} is not read alike by Java and Python; there are \d \w \s \D \W \S \n \r \t \f \xhh \uhhhh,"
            " and a backslash before a punctuation mark"
        )
    return piece


def _class(piece: str) -> str:
    inner = piece[1:].removeprefix("^")
    if inner in {"", "]"} or not piece.endswith("]"):
        raise UnsharedPatternError(rf"the class {piece!r} is empty or has no end; write a bracket in it as \] or \[")
    bare = re.sub(_ESCAPE, lambda found: _escape(found.group()) and "_", inner[:-1], flags=re.DOTALL)
    for sign in ("[", "&&", "--", "||", "~~"):
        if sign in bare:
            raise UnsharedPatternError(
                f"{sign!r} in the class {piece!r} is not read alike by Java and Python; escape it"
            )
    return piece


def _opening(piece: str, *, dotall: bool) -> bool:
    """Return whether (?s) holds within the group."""
    if piece not in {"(", "(?=", "(?!"} and not _FLAGS.fullmatch(piece):
        raise UnsharedPatternError(
            f"the group {piece!r} is not supported; there are (…), (?:…), (?=…), (?!…), (?i:…), (?s:…), and (?i), (?s)"
            " at the beginning"
        )
    on, _, off = piece.partition("-")
    return ("s" in on or dotall) and "s" not in off


def _plain(piece: str, *, dotall: bool) -> str:
    match piece:
        case "{" | "}" | "]":
            raise UnsharedPatternError(rf"{piece!r} outside its pair is not read alike; write \{piece}")
        case ".":
            return piece if dotall else _ANY
        case "$":
            return _END
        case "^":
            return r"\A"
    return piece
