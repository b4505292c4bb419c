"""Filters and records as Hypothesis makes them, out of one stock of awkward values, so that they often meet."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from flink_jobs.columns import TEXT_COLUMNS
from flink_jobs.filters import Filter
from flink_jobs.patterns import UnsharedPatternError, whole

Json = dict[str, Any]

WORDS = (
    *("", " ", "a", "A", "ab", "abc", "b", "a ", " a", "CarCreated", "LoanCreated", "carcreated", "null", "NULL"),
    *(
        "it's",
        "''",
        "'",
        '"',
        "\\",
        "\\\\",
        "\\n",
        "\\u0041",
        "%",
        "a%",
        "_",
        "`id`",
        "' OR '1'='1",
        "--",
        "/*",
        "${n}",
    ),
    *("a\nb", "a\n", "a\r\n", "\n", "\r", "a\u2028", "\u0085", "\t", "\x00", "a\x00b", "\x1f", "\x7f", "\u00a0"),
    *("\ufeff", "ä", "a\u0308", "Ä", "ß", "\u017f", "K", "\u212a", "İ", "é", "e\u0301", "ﬀ", "Ä😀", "😀", "😀😁", "𐀀"),
    *("\uffff", "\ue000", "true", "TRUE", "True", " true", "t", "y", "yes", "no", "f", "F", "0", "false", "on"),
    *("\uff54rue", "c", "r", "u", "a" * 256, "a" * 257, "ab" * 200),
)
NUMBERS = (
    *(
        "1",
        " 1 ",
        "\t1\n",
        "\r1",
        "1 2",
        "1e2",
        "1E+2",
        "100",
        "+5",
        "5",
        "-.5",
        "-0.5",
        "5.",
        ".",
        "",
        "1_0",
        "٣",
        "1e",
    ),
    *(
        "\U0001d7cf",
        "0x1",
        "1d",
        "--1",
        "\u00a01",
        "-0",
        "0",
        "0.0",
        "00001",
        "10",
        "10.0",
        "9",
        "9.999999999999999999",
    ),
    *("NaN", "Infinity", "12345678901234567890", "123456789012345678901", "99999999999999999999.9999999999999999995"),
    *(
        "99999999999999999999",
        "0.1234567890123456785",
        "0.1234567890123456784",
        "1.000000000000000000",
        "1e-18",
        "5e-19",
    ),
    *(
        "4e-19",
        "1e-30",
        "1e999",
        "0e999",
        "1e1000",
        "1e3000000",
        "1e99999999999",
        "9007199254740993",
        "9007199254740992",
    ),
    *("0.1", "1e-7", "1" * 100 + "e-99", "1" * 101 + "e-99", "0." + "0" * 98 + "1", "1.2.3"),
)
TOKENS = (
    *(
        "1",
        "-0",
        "0",
        "-0.0",
        "0.0",
        "10",
        "10.0",
        "1.10",
        "1e2",
        "1E+2",
        "1e-7",
        "0.0000001",
        "1e5",
        "1e400",
        "1e3000000",
    ),
    *("123456789012345678901234567890", "12345678901234567890", "0.1234567890123456785", "9007199254740993", "0e5"),
    *("5e-19", "12345.678e-10", "100000000000000000000.5", "1" * 1000, "true", "false", "null", "9", "0.1", "100"),
)
NO_JSON = (
    *("", " ", "{", "}", "not JSON", "{'n':1}", '{"n":1,}', '{"n":NaN}', '{"n":-Infinity}', '{"n":01}', '{"n":1.}'),
    *(
        '{"n":+1}',
        '{"n":.5}',
        '{"n":1',
        '{"n":"a\nb"}',
        '{"n":"\\x"}',
        '\ufeff{"n":1}',
        '\u00a0{"n":1}',
        '{"n":1 "a":2}',
    ),
    *("{n:1}", '{"n":tru}', '{"n":"\\u12"}', '{"n":1}}', '{"n":1} x', '{"n":1}//', '"n"', "1", "null", "[]", "{}"),
    *(
        '{"n":' + "1" * 1001 + "}",
        '{"n":1e99999999999}',
        '{"n":1e9999999999999999999}',
        '{"n":1,"d":' + "[" * 1001 + "]" * 1001 + "}",
        "/**/{}",
    ),
    *('{"n":1}\n', '\n\t {"n":1}'),
)
PATHS = (
    *(".n", ".n", ".n", ".a", ".a.b", ".items[0]", ".items[1].n", ".items[0].a", "[0]", "[0].n", ".0", ".a[0]", ".n.n"),
    *("._x", ".true", ".items[01]", ".items[99999999999]", ".N"),
)
KEYS = ("n", "n", "n", "a", "b", "items", "0", "_x", "true", "N", "", "a.b")

# Around the place where UTF-16 and code points are ordered differently.
astral = st.text("aä\ud7ff\ue000\uffff\U00010000😀\u0308", max_size=3)
words = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), st.text(max_size=6), astral)
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**6), max_value=10**6, places=3)
numbers = st.one_of(st.sampled_from(NUMBERS), decimals.map(str), st.integers(-20, 20).map(str))


def times(*, valid: bool) -> st.SearchStrategy[str]:
    """Return texts of points in time, near each other; with `valid`, only such as a filter may name."""
    years = ("0001", "1582", "1900", "2000", "2024", "2026", "2026", "9999")
    dates = ("01-01", "02-28", "03-01", "12-31")
    offsets = ("", "Z", "+00:00", "+02:00", "-05:30", "+0530", "-0000", "+23:59")
    clocks = ("00:00:00", "23:59:59", "12:00:00")
    fractions = ("", ".5", ".500000", ".000001", ".123456", ".123")
    if not valid:
        years = (*years, "0000", "2100", "٢026")
        dates = (
            *dates,
            "02-29",
            "02-29",
            "02-30",
            "02-31",
            "04-31",
            "11-31",
            "06-30",
            "13-01",
            "00-01",
            "01-00",
            "01-32",
        )
        offsets = (*offsets, "z", "+24:00", "+02", "-02:60", " Z", "Z\n", "\n", "\r\n", "+02:00\n", "[UTC]")
        clocks = (*clocks, "24:00:00", "23:59:60", "00:60:00", "12:00", "1:00:00")
        fractions = (*fractions, ".", ",5", ".1234567", ".123456789012", ".0000009")
    # The first and the last years leave no room for an offset.
    narrow = st.tuples(*map(st.sampled_from, (years, dates, "T ", clocks, fractions, offsets)))
    made = narrow.map(lambda p: f"{p[0]}-{p[1]}{p[2]}{p[3]}{p[4]}{p[5]}")
    return (
        made if not valid else made.filter(lambda text: text[:4] not in {"0001", "9999"} or text[-1] not in "0123459")
    )


def documents() -> st.SearchStrategy[str]:
    """Return JSON texts: equal keys, any spelling of a number, escapes, and levels."""
    texts = st.tuples(st.one_of(words, numbers, times(valid=False)), st.booleans())
    spelled = texts.map(lambda pair: json.dumps(pair[0], ensure_ascii=pair[1]))
    odd = st.sampled_from(('"\\ud800"', '"\\u0041"', '"\\/"', '"\\ud83d\\ude00"', '"a\\ud83dz"'))
    scalars = st.one_of(spelled, spelled, spelled, st.sampled_from(TOKENS), st.sampled_from(TOKENS), odd)

    def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        entries = st.tuples(st.sampled_from(KEYS).map(json.dumps), inner).map(": ".join)
        objects = st.lists(entries, max_size=5).map(lambda parts: "{" + ", ".join(parts) + "}")
        return st.one_of(objects, objects, st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]"))

    return nested(st.one_of(scalars, scalars, scalars, st.recursive(scalars, nested, max_leaves=4)))


def records() -> st.SearchStrategy[Json]:
    """Return raw records without their id."""
    texts = st.one_of(st.none(), words, words, numbers, times(valid=False), times(valid=False))
    kinds = st.one_of(
        st.sampled_from(("CarCreated", "LoanCreated", "a", "b")), st.sampled_from((None, "", " ", "\t")), words
    )
    milliseconds = st.sampled_from(
        (None, 0, 1, 10, -1, 1704067200000, 1704067200001, -62167219200000, -62167219200001, 253402300799999)
    )
    return st.fixed_dictionaries(
        {
            "event_name": texts,
            "event_type": kinds,
            "created_date": texts,
            "saved_date": st.one_of(times(valid=True), texts),
            "header_data": st.one_of(documents(), documents(), documents(), st.sampled_from(NO_JSON), st.none()),
            "__op": st.sampled_from(("c", "c", "c", "r", "u", "d", None, "C", "c ")),
            "__table": st.one_of(st.just("event_headers"), texts),
            "__ts_ms": st.one_of(milliseconds, st.integers(-(2**63), 2**63 - 1)),
        }
    )


def patterns() -> st.SearchStrategy[str]:
    """Return regular expressions of the shared dialect; repeated groups are small, so that no match takes for ever."""
    plain = st.sampled_from(
        ("a", "b", "A", "ab", "Car", "ä", "😀", "\\\\", "\\.", "'", "\n", "\\n", "\\x41", "\\u00e4", " ", "%")
    )
    sets = st.sampled_from(
        (".", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "[a-c]", "[^a]", "[\\d_]", "[À-ÿ]", "[😀-😂x]", "[^\\n]")
    )
    atoms = st.one_of(plain, sets, sets)
    counts = st.sampled_from(("", "", "?", "*", "+", "*?", "+?", "{2}", "{0,3}", "{1,}", "??"))
    pieces = st.tuples(atoms.filter(lambda atom: len(atom) == 1 or atom[0] in "\\["), counts).map("".join)
    branches = st.lists(atoms, min_size=0, max_size=2).map("".join)
    starts = st.sampled_from(("(", "(?:", "(?i:", "(?s:", "(?-i:"))
    groups = st.tuples(starts, branches, st.just("|"), branches, st.just(")"), counts).map("".join)
    looks = st.tuples(st.sampled_from(("(?=", "(?!")), pieces, st.just(")")).map("".join)
    anchors = st.sampled_from(("^", "$", "|"))
    made = st.lists(st.one_of(pieces, pieces, groups, looks, anchors), max_size=4).map("".join)
    flagged = st.tuples(st.sampled_from(("", "", "(?i)", "(?s)", "(?is)")), made).map("".join)
    usual = st.sampled_from(
        (".*", "(?s).*", "a.*", "(?i)carcreated", "(Car|Loan)Created", ".*Created", "(a|b)*", "(?:ab)*", "a+")
    )
    return st.one_of(flagged, flagged, usual).filter(_is_shared)


def _is_shared(pattern: str) -> bool:
    try:
        whole(pattern)
    except UnsharedPatternError:
        return False
    return True


TEXT_OPERATORS = (
    "equals",
    "in",
    "notIn",
    "greaterThan",
    "lessThan",
    "greaterThanOrEqual",
    "lessThanOrEqual",
    "between",
)


def conditions() -> st.SearchStrategy[Json]:
    """Return conditions of every operator and type."""
    columns = st.sampled_from(tuple(name for name in TEXT_COLUMNS if name != "id"))
    paths = st.sampled_from(PATHS).map(lambda path: f"header_data{path}")
    texts = st.one_of(columns, paths, paths)
    anything = st.one_of(texts, st.just("id"), st.just("__ts_ms"))
    null_tests = st.tuples(anything, st.sampled_from(("isNull", "isNotNull"))).map(
        lambda p: {"field": p[0], "operator": p[1]}
    )
    matching = st.tuples(texts, patterns()).map(lambda p: {"field": p[0], "operator": "matches", "value": p[1]})
    exact = st.one_of(
        st.integers(-20, 20),
        st.sampled_from((10**19, 9007199254740993, 12345678901234567890, 100, 10)),
        st.sampled_from(("0.5", "-0.5", "0.1", "1e-7", "1.1", "5e-1", "10.0", "1E-18", "1.10")).map(Decimal),
        decimals.map(lambda value: Decimal(repr(float(value)))),
    )
    moments = times(valid=True)
    instants = st.one_of(moments, st.just("1970-01-01T00:00:00.001Z"), st.just("2024-01-01T00:00:00Z"))
    literals = st.one_of(words, words, numbers, moments)
    return st.one_of(
        null_tests,
        matching,
        matching,
        _comparisons(texts, literals, "string"),
        _comparisons(texts, literals, "string"),
        _comparisons(st.one_of(paths, paths, columns, st.just("__ts_ms")), exact, "number"),
        _comparisons(st.one_of(paths, columns), st.booleans(), "boolean"),
        _comparisons(
            st.sampled_from(("saved_date", "saved_date", "created_date", "header_data.n", "__ts_ms")),
            instants,
            "timestamp",
        ),
    )


def _comparisons(fields: st.SearchStrategy[str], values: st.SearchStrategy[Any], kind: str) -> st.SearchStrategy[Json]:
    operators = TEXT_OPERATORS if kind != "boolean" else ("equals", "in", "notIn")

    def with_values(drawn: tuple[str, str, list[Any]]) -> Json:
        field, operator, given_values = drawn
        parts: dict[str, Json] = {
            "in": {"values": given_values},
            "notIn": {"values": given_values},
            "between": {"min": given_values[0], "max": given_values[-1]},
        }
        body = parts.get(operator, {"value": given_values[0]})
        return {"field": field, "operator": operator, "valueType": kind, **body}

    lists = st.one_of(st.lists(values, min_size=1, max_size=5), st.lists(values, min_size=21, max_size=24))
    return st.tuples(fields, st.sampled_from(operators), lists).map(with_values)


def filters() -> st.SearchStrategy[Filter]:
    """Return filters of one to four conditions."""
    operation = st.just({"field": "__op", "operator": "in", "values": ["c", "u"]})
    typed = st.sampled_from(
        (
            {"field": "event_type", "operator": "isNull"},
            {"field": "event_type", "operator": "equals", "value": "CarCreated"},
            {"field": "event_type", "operator": "in", "values": ["a", "b", " "]},
            {"field": "event_type", "operator": "notIn", "values": ["a"]},
        )
    )
    several = st.one_of(
        st.lists(conditions(), min_size=1, max_size=1),
        st.lists(st.one_of(*[conditions()] * 6, operation, typed), min_size=1, max_size=4),
    )
    body = st.fixed_dictionaries({"conditions": several, "conditionLogic": st.sampled_from(("AND", "OR"))})
    return body.map(_filter).filter(lambda made: made is not None)  # type: ignore[return-value]


def _filter(body: Json) -> Filter | None:
    try:
        return Filter.model_validate({"id": "one", "name": "One", "consumerId": "c", "outputTopic": "t", **body})
    except ValidationError:
        return None
