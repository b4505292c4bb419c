"""The statements for Confluent Cloud: their form, names and order, and what they refuse."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import schemas
from flink_jobs import FilterSet, Places, load_filters
from flink_jobs.conditions import Operator, ValueType
from flink_jobs.dialects import PROPERTIES, Call, DialectError, Inserts, ValueFormat, calls, printed, write_folder
from flink_jobs.dialects.confluent import FUNCTIONS, LONGEST
from flink_jobs.predicates import filter_predicate
from tests.unit.flink_jobs.dialects.every import CONDITIONS, every_filter

MakeFilters = Callable[..., FilterSet]

GOLDEN = Path(__file__).parents[1]
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PLACES = Places("never:9092")
SHIPPED = load_filters(schemas.filters_path())
FIRST = "filtered-car-created-events"


@pytest.mark.parametrize(
    ("file", "value_format", "inserts"),
    [
        ("confluent.sql", ValueFormat.JSON, Inserts.SET),
        ("confluent-single-avro.sql", ValueFormat.AVRO, Inserts.SINGLE),
    ],
)
def test_the_shipped_filters_give_these_statements(file: str, value_format: ValueFormat, inserts: Inserts) -> None:
    """All of them, character for character; look at a difference before you accept it (FL-50, FL-55)."""
    made = printed(calls(SHIPPED, PLACES, value_format, inserts), PROPERTIES, "filters.json", NOW)
    assert made == (GOLDEN / file).read_text()


def test_one_statement_has_all_inserts_or_each_has_its_own() -> None:
    """Source, sinks, inserts, under the names of the contract (FL-44, FL-72)."""
    topics = [f"{each.output_topic}-flink" for each in SHIPPED.filters]
    before = ["source-raw-event-headers", "options-raw-event-headers", *(f"sink-{topic}" for topic in topics)]
    together, alone = (calls(SHIPPED, PLACES, inserts=inserts) for inserts in Inserts)
    assert [each.name for each in together] == [*before, "insert-all-filters"]
    assert [each.name for each in alone] == [
        *before,
        *(f"insert-{each.output_topic}-filter-flink" for each in SHIPPED.filters),
    ]
    assert all(each.text in together[-1].text for each in alone if each.name.startswith("insert-"))


def test_no_statement_says_where_the_broker_is() -> None:
    """Tables are topics there: no connector, no address, no group, no password."""
    everything = "".join(each.text for each in calls(SHIPPED, PLACES))
    assert not re.search(r"connector|properties\.|never:9092|headwater-filters|'format'", everything)


def test_equal_filters_give_equal_statements() -> None:
    """Nothing depends on the run (FL-55)."""
    assert calls(every_filter(), PLACES) == calls(every_filter(), PLACES)


def test_only_what_runs_has_a_statement(filters: MakeFilters) -> None:
    """A disabled filter leaves no sink and no insert, and without any there is no statement set (FL-32)."""
    assert [each.name for each in calls(filters(enabled=False), PLACES)] == [
        "source-raw-event-headers",
        "options-raw-event-headers",
    ]


def test_a_deprecated_filter_is_warned_of_by_name(filters: MakeFilters) -> None:
    """It is generated all the same (FL-33)."""
    text = calls(filters(status="deprecated"), PLACES)[-1].text
    assert '\n-- WARNING, deprecated: one, "One"\nINSERT INTO `filtered-one-flink`' in text


def test_filters_of_one_topic_and_meaning_write_once(filters: MakeFilters) -> None:
    """Two filters for the same thing do not double its records, and both are named (FL-16)."""
    one = filters().filters[0]
    both = FilterSet(version=1, filters=(one, one.model_copy(update={"id": "two"})))
    text = calls(both, PLACES)[-1].text
    assert text.count("INSERT INTO") == 1
    assert '-- one, "One"\n-- two, "One"\n' in text


def test_a_name_cannot_leave_its_comment(filters: MakeFilters) -> None:
    """Line breaks of a name are written as escapes, so that no line of it becomes SQL."""
    text = calls(filters(name="x\n'); DROP TABLE y; --\r\n"), PLACES)[-1].text
    assert [line for line in text.splitlines() if "DROP" in line] == [r'''-- one, "x\n'); DROP TABLE y; --\r\n"''']


def test_every_operator_is_asked_as_everywhere(filters: MakeFilters) -> None:
    """The predicate is that of the other dialects, for each operator and each type of value (FL-9 to FL-15)."""
    asked = [(each.operator, each.value_type) for one in every_filter().filters for each in one.conditions]
    assert {operator for operator, _ in asked} == set(Operator)
    assert {kind for _, kind in asked} == set(ValueType)
    for one in every_filter().filters:
        assert f"WHERE {filter_predicate(one)};" in calls(FilterSet(version=1, filters=(one,)), PLACES)[-1].text
    assert len(every_filter().filters) == len(CONDITIONS) + 2


def test_only_functions_that_the_service_has_are_called() -> None:
    """Each is described in its documentation; none of processing time is (FL-51)."""
    words = {"AND", "OR", "IN", "NOT", "BETWEEN", "WHEN", "THEN", "ELSE", "AS", "DECIMAL", "TIMESTAMP"}
    text = " ; ".join(filter_predicate(one) for one in every_filter().filters)
    bare = re.sub(r"'(?:[^']|'')*'|`[^`]*`", " ", text)
    called = set(re.findall(r"\b([A-Z_]+)\s*\(", bare)) - words
    assert called >= {"JSON_VALUE", "REGEXP", "TRY_CAST", "TO_TIMESTAMP_LTZ"}
    assert called <= FUNCTIONS
    assert not re.search("PROCTIME|CURRENT_|NOW", bare)


def test_every_name_of_ours_is_quoted() -> None:
    """So that a reserved word, such as `key`, is a name (FL-51)."""
    bare = re.sub(r"'(?:[^']|'')*'|`[^`]*`|--.*", " ", "\n".join(each.text for each in calls(SHIPPED, PLACES)))
    assert set(re.findall(r"\w*[a-z_]\w*", bare)) == set()


@pytest.mark.parametrize(
    ("changes", "suffix"),
    [({"outputTopic": "x" * 95}, "-flink"), ({}, ".flink"), ({}, "-Flink"), ({}, "-")],
)
def test_a_name_that_the_service_refuses_is_refused_here(filters: MakeFilters, changes: object, suffix: str) -> None:
    """Lower case letters, digits, hyphens, 100 characters; the message says what to change."""
    assert isinstance(changes, dict)
    with pytest.raises(DialectError, match=r"no name of a statement.*shorten the topic, or change TOPIC_SUFFIX"):
        calls(filters(**changes), Places("b:1", suffix=suffix))


def test_a_statement_that_is_too_long_is_refused_with_the_way_out(filters: MakeFilters) -> None:
    """The last character counts; many filters can still be written one by one, one filter must be shortened."""

    def long(characters: int) -> FilterSet:
        return filters({"field": "event_type", "operator": "equals", "value": "x" * characters})

    spare = LONGEST - len(calls(long(1), PLACES, inserts=Inserts.SINGLE)[-1].text)
    assert len(calls(long(1 + spare), PLACES, inserts=Inserts.SINGLE)[-1].text) == LONGEST
    with pytest.raises(DialectError, match="131,072; write the inserts as statements of their own"):
        calls(long(1 + spare), PLACES)
    with pytest.raises(DialectError, match=r"131,073 characters.*fewer or shorter conditions"):
        calls(long(2 + spare), PLACES, inserts=Inserts.SINGLE)


def test_a_file_holds_what_one_call_takes(tmp_path: Path) -> None:
    """Numbered in the order of the calls, and the list beside them names each; time stands in the list alone."""
    made = calls(SHIPPED, PLACES)
    written = write_folder(tmp_path / "new" / "folder", made, PROPERTIES, "filters.json", NOW)
    assert written[0].name == "01-source-raw-event-headers.sql"
    assert [file.read_text() for file in written] == [f"{each.text}\n" for each in made]
    listed = json.loads((tmp_path / "new" / "folder" / "statements.json").read_text())
    assert [each["name"] for each in listed["statements"]] == [each.name for each in made]
    assert listed["generated"] == "2026-01-31T12:00:00+00:00"
    assert listed["properties"] == dict(PROPERTIES)


def test_files_of_yesterday_do_not_stay(tmp_path: Path) -> None:
    """What an earlier list names goes; what somebody else put there stays."""
    write_folder(tmp_path, calls(SHIPPED, PLACES), PROPERTIES, "a")
    (tmp_path / "mine.sql").touch()
    write_folder(tmp_path, [Call("one", "SELECT 1;")], PROPERTIES, "b")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["01-one.sql", "mine.sql", "statements.json"]


def test_a_list_cannot_remove_files_elsewhere(tmp_path: Path) -> None:
    """A name with a folder in it is nobody's of ours."""
    (tmp_path / "kept.sql").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "statements.json").write_text('{"statements": [{"file": "../kept.sql"}]}')
    write_folder(folder, [], PROPERTIES, "x")
    assert (tmp_path / "kept.sql").exists()
