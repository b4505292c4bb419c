"""Which regular expressions a filter may use, and that they are read as Java reads them."""

import pytest

from flink_jobs.patterns import UnsharedPatternError, in_java, whole


@pytest.mark.parametrize(
    ("expression", "taken", "left"),
    [
        ("al[p]ha", ["alpha"], ["alpha ", "Alpha", "alphaalpha", ""]),
        ("a|b'", ["a", "b'"], ["ab'"]),
        ("a.b", ["a b", "a😀b", "a\x0bb"], ["a\nb", "a\rb", "a\u0085b", "a\u2028b", "a\u2029b", "ab"]),
        ("(?s)a.b", ["a\nb", "a\u2028b"], ["a\r\nb"]),
        ("(?s:.).", ["\na"], ["a\n"]),
        ("(?s)(?-s:.)", ["a"], ["\r"]),
        ("^a$", ["a"], ["a\n", "a\r\n"]),
        (r"a$\n", ["a\n"], ["a", "a\r\n"]),
        (r"a$\r\n", ["a\r\n"], ["a\n"]),
        (r"a\r$\n", [], ["a\r\n"]),
        (r"\d\w\s", ["1_ ", "0a\t"], ["٣a ", "1ä ", "1a\u00a0"]),
        (r"[^\d\]]", ["a", "٣"], ["1", "]"]),
        ("(?i)straße", ["STRAßE"], ["STRASSE", "STRAẞE"]),
        ("(?i)k", ["K"], ["\u212a"]),
        (r"\x41\u00e4\.", ["Aä."], ["Aäx"]),
        ("a{2,3}?b?", ["aa", "aaab"], ["a", "aaaa"]),
        ("(?=ab)a.(?!b)c*", ["abcc"], ["acc"]),
        ("(?:|a)+", ["", "a", "aa"], ["b"]),
        ("", [""], ["\n"]),
    ],
)
def test_a_whole_value_matches_as_it_does_in_java(expression: str, taken: list[str], left: list[str]) -> None:
    """Five line ends for `.` and `$`, classes of ASCII only, and nothing before or after (FL-12)."""
    assert [text for text in (*taken, *left) if whole(expression)(text)] == taken


@pytest.mark.parametrize(
    "expression",
    [
        *("a(", "a)", "[a", "[]", "[]a]", "*a", "a**", "a{2}{3}", "^*", "(?=a)*", "a|+", "\\", "(?", "(?i"),
        *(
            r"\bword\b",
            r"\B",
            r"(a)\1",
            r"\z",
            r"\Z",
            r"\v",
            r"\0",
            r"\p{L}",
            r"\N{DIGIT ONE}",
            r"\ud83d",
            r"\é",
            r"\x4",
        ),
        *(
            "(?<n>a)",
            "(?P<n>a)",
            "(?<=a)b",
            "(?<!a)b",
            "(?>a)",
            "(?#a)",
            "(?m)a",
            "(?x)a",
            "(?u)a",
            "a(?i)b",
            "(?i-i:a)",
        ),
        *("a++", "a*+", "a?+", "a{2}+", "a{,3}", "a{", "a}", "]", "a{1001}", "a{2,1}"),
        *("[a&&b]", "[[a]b]", "[a--b]", "[a||b]", "[a~~b]", r"[\b]", "[b-a]", "((((((a))))))"),
    ],
)
def test_what_java_and_python_read_differently_is_refused(expression: str) -> None:
    """No filter means one thing where it is tried and another where it runs."""
    with pytest.raises(UnsharedPatternError):
        whole(expression)


@pytest.mark.parametrize("expression", ["(a|b)*", "(?:ab)+c", "(a){2,}", "((a|b)?)*"])
def test_a_repeated_group_takes_no_long_value(expression: str) -> None:
    """Java's matcher would overflow its stack on one, and end the job again and again."""
    test = whole(f"{expression}|a*")
    assert test("a" * 256)
    assert not test("a" * 257)
    assert in_java(expression) == rf"\A(?=[\s\S]{{0,256}}\z)(?:{expression})\z"


def test_other_expressions_take_any_length() -> None:
    """A single character or class is repeated without a stack."""
    assert whole("(?:x)?[ab]*")("ab" * 50_000)
    assert in_java("(?:x)?[ab]*") == r"\A(?:(?:x)?[ab]*)\z"
