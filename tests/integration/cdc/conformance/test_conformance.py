"""Both engines over the same statements write the same records, but for what docs/conformance.md lists.

One run serves all tests; what they look at is what it recorded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from cdc.positions import partition_of
from tests.integration.cdc.conformance import types
from tests.integration.cdc.conformance.comparison import Comparison, Difference, Record
from tests.integration.cdc.conformance.conftest import SHAPES
from tests.integration.cdc.conformance.differences import Entry, judge
from tests.integration.cdc.conformance.run import Recording
from tests.integration.cdc.forms import FORMS
from tests.integration.cdc.topics import PARTITIONS

# The engines' differences are of the record, not of the server; the forms on each server are test_types'.
pytestmark = [pytest.mark.parametrize("server", ["18"], indirect=True, scope="session"), pytest.mark.timeout(600)]

Comparisons = Mapping[str, Comparison]
_OWN = {"__deleted", "__op", "__table", "__ts_ms"}


def test_every_difference_is_listed_and_every_entry_is_true(
    differences: Sequence[Difference],
    entries: Sequence[Entry],
    figures: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Keys, partitions, fields, headers, tombstones and operations: one entry for each difference (CD-40 to CD-50)."""
    record_property("figure", figures)
    verdict = judge(entries, differences)
    assert verdict.uncovered == []
    assert verdict.disputed == []
    assert verdict.unobserved == []


def test_no_entry_can_be_left_out(differences: Sequence[Difference], entries: Sequence[Entry]) -> None:
    """Without any single one of them the comparison fails."""
    assert len({each.name for each in entries}) == len(entries)
    for entry in entries:
        assert judge([each for each in entries if each is not entry], differences).uncovered, entry.name


def test_no_entry_can_be_added_or_be_wrong(differences: Sequence[Difference], entries: Sequence[Entry]) -> None:
    """One that says a little too much about nothing, or the same as another, makes the comparison fail."""
    swapped = [replace(each, name="added", theirs=each.ours, ours=each.theirs) for each in entries]
    literal = [each for each in swapped if {each.theirs[:1], each.ours[:1]} <= {"`", "m"}]
    assert len(literal) > 10
    for entry in literal:
        assert judge([*entries, entry], differences).unobserved == ["added"], entry
    for entry in entries:
        assert judge([*entries, replace(entry, name="added")], differences).disputed, entry.name


def test_no_column_hides_behind_an_entry(
    comparisons: Comparisons, entries: Sequence[Entry], recording: Recording
) -> None:
    """Another value of ours, in any column of any record, is found; but of the types that Debezium leaves out."""
    unnoticed = set()
    for name, comparison in comparisons.items():
        seen = set()
        for their, our in comparison.pairs:
            place = (our.table, our.operation)
            if our.sent.value is None or place in seen:
                continue
            seen.add(place)
            for field, altered in _altered(our, enveloped=name == "envelopes"):
                again = Comparison([their.sent], [altered], recording.types, enveloped=name == "envelopes")
                if not judge(entries, again.differences).uncovered:
                    unnoticed.add(recording.types[our.table, field])
    (left_out,) = [each for each in entries if each.name == "types-left-out"]
    assert {f"type {each}" for each in unnoticed} <= left_out.fields


def _altered(our: Record, *, enveloped: bool) -> list[tuple[str, Any]]:
    """Return our record once for each of its columns, with another value there."""
    value: dict[str, Any] = our.sent.value or {}
    part = "after" if value.get("after") else "before"
    row = (value[part] or {}) if enveloped else value
    rows = [(name, {**row, name: ["altered"]}) for name in row if not name.startswith("__")]
    return [
        (name, replace(our.sent, value={**value, part: changed} if enveloped else changed)) for name, changed in rows
    ]


def test_both_keep_the_order_of_commits_in_every_partition(comparisons: Comparisons, recording: Recording) -> None:
    """Whatever has a key is where Java's clients look for it, after everything that was committed before (CD-112)."""
    for name, comparison in comparisons.items():
        assert comparison.disorder() == [], name
        for side in (recording.theirs, recording.ours):
            # A truncation is of no row, and in every partition.
            keyed = [each for each in side[name] if each.key is not None and b"__truncated" not in each.key]
            assert [each for each in keyed if each.partition != partition_of(each.key, PARTITIONS)] == []


def test_where_they_differ_ours_is_the_rows(recording: Recording) -> None:
    """Every form of every type, from snapshot and stream, is the one that is expected of the row."""
    seen: set[str] = set()
    for each in recording.ours["main"]:
        fields = each.value or {}
        forms = types.FORMS_OF.get(fields.get("__table", "").removesuffix("_full"))
        if (
            forms
            and fields["id"] in types.FILLED_ROWS
            and (fields["__op"] != "d" or fields["__table"].endswith("_full"))
        ):
            assert [fields[f"c{number}"] for number in range(len(forms))] == [expected for _, _, expected in forms]
            seen.add(fields["__op"])
    assert seen == {*"rcud"}


def test_where_debezium_stops_ours_goes_on(recording: Recording) -> None:
    """The values of those tables are the rows'."""
    values = [each.value for each in recording.ours["alone"] if each.value]
    rows = [
        (each["__table"], each["__op"], {name: value for name, value in each.items() if name not in _OWN})
        for each in values
    ]
    assert ("differ_in_case", "u", {"id": 1, "a": "lower", "A": "new", "ID": "x"}) in rows
    assert ("no_column", "r", {}) in rows
    assert ("reserved_fields", "c", {"id": 1, "___op": "x", "___deleted": "y"}) in rows


def test_enough_is_compared(recording: Recording, comparisons: Comparisons) -> None:
    """At least 60 shapes and 400 records; every shape has records of both, and every type with a form has a shape."""
    assert len({each.name for each in SHAPES}) == len(SHAPES) >= 60
    assert sum(len(comparison.pairs) for comparison in comparisons.values()) >= 400
    compared = {their.table for comparison in comparisons.values() for their, _ in comparison.pairs}
    assert {name for each in SHAPES if not each.stops for _, name in each.tables} <= compared
    assert {name for name, _, _ in FORMS} == {name for forms in types.FORMS_OF.values() for name, _, _ in forms}
    assert {their.operation for comparison in comparisons.values() for their, _ in comparison.pairs} == {
        *"rcudt",
        "tombstone",
    }
