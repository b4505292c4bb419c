"""The script of the job: its form, its order, and that nothing can break out of it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import schemas
from flink_jobs import FilterSet, Places, load_filters, parse_filters, script, statements
from flink_jobs.avro import Registry, filtered_schema
from flink_jobs.columns import CAPTURE_TIME, TEXT_COLUMNS
from flink_jobs.delivery import Delivery, Guarantee
from flink_jobs.plan import java_sources
from flink_jobs.sql import AVRO_FUNCTIONS, FUNCTIONS, Kind, Statement

MakeFilters = Callable[..., FilterSet]

GOLDEN = Path(__file__).with_name("local.sql")
AVRO_GOLDEN = Path(__file__).with_name("local-avro.sql")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PLACES = Places("broker:9092")


def is_table(part: Statement) -> bool:
    """Tell whether a statement defines a table."""
    return part.text.startswith("CREATE TABLE")


def text_of(filters: FilterSet, name: str = "filtered-events", kind: Kind = Kind.INSERT) -> str:
    """Return one statement."""
    return next(part.text for part in statements(filters, PLACES) if (part.name, part.kind) == (name, kind))


def test_the_shipped_filters_give_this_script() -> None:
    """The whole script, character for character; look at a difference before you accept it (FL-40 to FL-49, FL-55)."""
    made = script(statements(load_filters(schemas.filters_path()), PLACES), "filters.json", NOW)
    assert made == GOLDEN.read_text()


def test_exactly_once_is_a_matter_of_the_two_writers() -> None:
    """Transactions under a name for each writer and job; no other statement changes (FL-47)."""
    filters = load_filters(schemas.filters_path())
    delivery = Delivery(Guarantee.EXACTLY_ONCE, "my-job", 600)
    once = {part.name: part for part in statements(filters, replace(PLACES, delivery=delivery)) if is_table(part)}
    before = {part.name: part for part in statements(filters, PLACES) if is_table(part)}
    changed = {name for name, part in once.items() if part != before[name]}
    assert changed == {"filtered-events", "dead-letters"}
    for name in changed:
        assert "'sink.delivery-guarantee' = 'exactly-once'" in once[name].text
        assert f"'sink.transactional-id-prefix' = 'my-job-{name}'" in once[name].text
        assert "'properties.transaction.timeout.ms' = '600000'" in once[name].text


def test_names_of_transactions_do_not_depend_on_the_filters(filters: MakeFilters) -> None:
    """What an old job left open is found by the new one, whatever it routes (FL-73)."""
    places = replace(PLACES, delivery=Delivery(Guarantee.EXACTLY_ONCE))
    names = {
        re.findall(r"'sink.transactional-id-prefix' = '([^']*)'", script(statements(each, places), "x", NOW))[0]
        for each in (filters(), filters(outputTopic="another"), load_filters(schemas.filters_path()))
    }
    assert names == {"headwater-filters-filtered-events"}


def test_with_avro_they_give_this_script() -> None:
    """Parser and sink are others, all else is the same; a secret is masked (FL-45, FL-55)."""
    registry = Registry("http://registry:8081", {"basic-auth.user-info": "me:secret"})
    assert "secret" not in repr(registry)
    places = replace(PLACES, registry=registry.masked)
    made = script(statements(load_filters(schemas.filters_path()), places), "filters.json", NOW)
    assert made == AVRO_GOLDEN.read_text()
    before, after = GOLDEN.read_text().splitlines(), made.splitlines()
    changed = [line for line in after if line not in before]
    assert all("avro" in line.lower() for line in changed)
    assert [line for line in before if line not in after] == [
        "CREATE TEMPORARY SYSTEM FUNCTION parse_header AS 'headwater.HeaderParser' LANGUAGE JAVA;",
        "  'value.format' = 'json',",
    ]


def test_the_avro_schema_has_the_columns_of_a_filtered_topic() -> None:
    """Every one nullable with default null, so that columns may come and go (FL-41)."""
    fields = json.loads(filtered_schema())["fields"]
    assert tuple(field["name"] for field in fields) == TEXT_COLUMNS
    assert all(field["type"] == ["null", "string"] and field["default"] is None for field in fields)


def test_two_runs_differ_in_one_line() -> None:
    """Only the line with time and source changes (FL-55)."""
    parts = statements(load_filters(schemas.filters_path()), PLACES)
    first, second = (script(parts, source).splitlines() for source in ("a.json", "b.json"))
    assert first[1:] == second[1:]
    assert "Do not edit" in first[1]


def test_source_comes_before_sinks_and_these_before_inserts() -> None:
    """Definitions, then the inserts as one statement set (FL-44, FL-48)."""
    kinds = [part.kind for part in statements(load_filters(schemas.filters_path()), PLACES)]
    first_insert = kinds.index(Kind.INSERT)
    assert set(kinds[first_insert:]) == {Kind.INSERT}
    assert Kind.INSERT not in kinds[:first_insert]


def test_only_what_runs_is_in_the_script(filters: MakeFilters) -> None:
    """A disabled filter leaves no topic and no condition behind; the dead letters stay (FL-32)."""
    everything = script(statements(filters(enabled=False), PLACES), "x", NOW)
    assert "filtered-one" not in everything
    assert "filtered-events" not in everything
    assert "INSERT INTO `dead-letters`" in everything


def test_a_deprecated_filter_is_warned_of_by_name(filters: MakeFilters) -> None:
    """It is generated all the same (FL-33)."""
    routing = text_of(filters(status="deprecated"))
    assert '-- WARNING, deprecated: one, "One"' in routing
    assert "'filtered-one-flink'" in routing


def test_filters_of_one_topic_and_meaning_write_once(filters: MakeFilters) -> None:
    """Two filters for the same thing do not double its records (FL-16)."""
    one = filters().filters[0]
    both = FilterSet(version=1, filters=(one, one.model_copy(update={"id": "two"})))
    assert text_of(both).count("CASE WHEN") == 1


def test_a_name_cannot_leave_its_comment(filters: MakeFilters) -> None:
    """Line breaks of a name are written as escapes, so that no line of it becomes SQL."""
    routing = text_of(filters(name="x\n'); DROP TABLE y; --\r\n"))
    (line,) = [line.strip() for line in routing.splitlines() if "DROP" in line]
    assert line == r'''-- one, "x\n'); DROP TABLE y; --\r\n"'''


def test_a_value_cannot_leave_its_quotes(filters: MakeFilters) -> None:
    """A quote in a value is doubled in the script as well (FL-14)."""
    routing = text_of(filters({"field": "event_type", "operator": "equals", "value": "a' OR '1'='1"}))
    assert "`event_type` = 'a'' OR ''1''=''1'" in routing


def test_only_declared_topics_can_be_written(filters: MakeFilters) -> None:
    """The sink's pattern is the list of topics, a dot being a dot."""
    made = statements(filters(), Places("b:1", suffix=".flink"))
    sink = next(part.text for part in made if part.name == "filtered-events" and part.kind is Kind.DEFINITION)
    pattern = re.search(r"'topic-pattern' = '(.*)'", sink)
    assert pattern is not None
    assert re.fullmatch(pattern[1], "filtered-one.flink")
    assert not re.fullmatch(pattern[1], "filtered-one-flink")


def test_the_parser_gives_the_columns_in_our_order() -> None:
    """The Java source and the Python module name the same columns (CD-41)."""
    source = java_sources()["HeaderParser"]
    listed = re.search(r"TEXTS = \{(.*?)\}", source, re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r'"(\w+)"', listed[1])) == TEXT_COLUMNS
    assert f'NUMBER = "{CAPTURE_TIME}"' in source
    assert f"class {FUNCTIONS['parse_header'].rsplit('.', 1)[1]} " in source
    avro = java_sources(avro=True)["AvroHeaderParser"]
    assert f"class {AVRO_FUNCTIONS['parse_header'].rsplit('.', 1)[1]} extends HeaderParser " in avro


def test_a_view_is_a_query_to_a_program_and_a_statement_in_a_script() -> None:
    """A program runs the query once for all inserts; a script has to say CREATE."""
    view = Statement(Kind.VIEW, "v", "SELECT 1")
    assert view.script == "CREATE TEMPORARY VIEW `v` AS\nSELECT 1;"


def test_equal_filters_give_equal_statements() -> None:
    """Nothing depends on the run: a digest of the statements names the plan (FL-55)."""
    path = schemas.filters_path()
    assert statements(load_filters(path), PLACES) == statements(load_filters(path), PLACES)
    assert statements(parse_filters({"version": 2, "filters": []}), PLACES)
