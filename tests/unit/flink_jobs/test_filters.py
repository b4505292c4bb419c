"""What a filter file may say, in which forms, and what is told when it is wrong."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import schemas
from flink_jobs.filters import (
    FilterError,
    FilterSet,
    Logic,
    Status,
    load_filters,
    parse_filters,
    to_api_form,
    to_file_form,
)

Json = dict[str, Any]
MakeDocument = Callable[..., Json]
MakeFilters = Callable[..., FilterSet]


@pytest.mark.parametrize("path", [schemas.filters_path(), schemas.dealer_filters_path()], ids=lambda path: path.name)
def test_shipped_filters_are_read_and_written_unchanged(path: Path) -> None:
    """Reading a file and writing it again gives the same document (FL-1, FL-17, FL-20)."""
    assert to_file_form(load_filters(path)) == json.loads(path.read_text())


def test_both_forms_mean_the_same(document: MakeDocument, filters: MakeFilters) -> None:
    """`consumerGroup` and nested conditions are the API's way to write a filter (FL-4)."""
    conditions = [{"field": "id", "operator": "isNotNull"}, {"field": "__op", "operator": "equals", "value": "c"}]
    body = document(*conditions, conditionLogic="OR")["filters"][0]
    body["consumerGroup"] = body.pop("consumerId")
    body["conditions"] = {"logic": body.pop("conditionLogic"), "conditions": body["conditions"]}
    from_api = parse_filters({"version": 1, "filters": [body]})
    assert from_api == filters(*conditions, conditionLogic="OR")
    assert to_api_form(from_api.filters[0]) == body


def test_what_is_left_out_has_its_default(document: MakeDocument) -> None:
    """Without `enabled` and `status` a filter is generated; conditions are joined by AND (FL-3, FL-32)."""
    body = document()
    del body["filters"][0]["enabled"]
    one = parse_filters(body).filters[0]
    assert (one.condition_logic, one.status, one.version) == (Logic.AND, Status.PENDING_APPROVAL, 1)
    assert one.runs_on_flink


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        *(({"status": status.value}, status not in {Status.DELETED, Status.PENDING_DELETION}) for status in Status),
        ({"enabled": False}, False),
        ({"targets": ["spring"]}, False),
        ({"targets": ["spring", "flink"]}, True),
    ],
)
def test_only_living_filters_run(filters: MakeFilters, changes: Json, *, runs: bool) -> None:
    """Disabled, deleted and elsewhere targeted filters get no SQL (FL-32)."""
    assert filters(**changes).filters[0].runs_on_flink is runs


WRONG_CONDITIONS: list[tuple[Json, str]] = [
    ({"field": "event_type", "operator": "equals"}, "operator 'equals' needs 'value'"),
    ({"field": "event_type", "operator": "matches"}, "operator 'matches' needs 'value'"),
    ({"field": "event_type", "operator": "in", "value": "a"}, "operator 'in' needs 'values'"),
    ({"field": "event_type", "operator": "in", "values": []}, "at least one value"),
    ({"field": "id", "operator": "between", "min": "a"}, "operator 'between' needs 'max'"),
    ({"field": "id", "operator": "isNull", "value": "a"}, "operator 'isNull' takes no 'value'"),
    ({"field": "id", "operator": "equals", "value": "a", "values": ["b"]}, "takes no 'values'"),
    ({"field": "nope", "operator": "isNull"}, "unknown column 'nope'"),
    ({"field": "id.a", "operator": "isNull"}, "which is no JSON"),
    ({"field": "header_data..a", "operator": "isNull"}, "is no path"),
    ({"field": "header_data[x]", "operator": "isNull"}, "is no path"),
    ({"field": "header_data.n", "operator": "equals", "value": 1}, "1 is no text"),
    ({"field": "header_data.n", "operator": "equals", "value": "1", "valueType": "number"}, "'1' is no number"),
    ({"field": "header_data.n", "operator": "equals", "value": True, "valueType": "number"}, "True is no number"),
    ({"field": "header_data.n", "operator": "equals", "value": 10**20, "valueType": "number"}, "too large"),
    ({"field": "header_data.n", "operator": "equals", "value": 1e-19, "valueType": "number"}, "too fine"),
    ({"field": "header_data.b", "operator": "equals", "value": "true", "valueType": "boolean"}, "is no boolean"),
    ({"field": "header_data.b", "operator": "lessThan", "value": True, "valueType": "boolean"}, "have no order"),
    (
        {"field": "saved_date", "operator": "equals", "value": "soon", "valueType": "timestamp"},
        "'soon' is no timestamp",
    ),
    ({"field": "saved_date", "operator": "equals", "value": "2026-01-31", "valueType": "timestamp"}, "no timestamp"),
    ({"field": "id", "operator": "matches", "value": "a("}, "is no regular expression"),
    ({"field": "id", "operator": "matches", "value": "a\\b"}, "is not read alike by Java and Python"),
    ({"field": "id", "operator": "equals", "value": "\ud800"}, "half a surrogate pair"),
    ({"field": "id", "operator": "matches", "value": 1, "valueType": "number"}, "compares text"),
    ({"field": "__ts_ms", "operator": "equals", "value": "1"}, "is a number"),
]


@pytest.mark.parametrize(("condition", "reason"), WRONG_CONDITIONS)
def test_a_wrong_condition_is_named_by_its_path(document: MakeDocument, condition: Json, reason: str) -> None:
    """The error has the JSON path of the condition and says what is wrong with it (FL-8, FL-10, FL-14)."""
    good = {"field": "id", "operator": "isNotNull"}
    with pytest.raises(FilterError) as caught:
        parse_filters(document(good, condition))
    assert [path for path, _ in caught.value.problems] == ["$.filters[0].conditions[1]"]
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"id": "Not A Slug"}, "$.filters[0].id", "'Not A Slug'"),
        ({"outputTopic": "a.b"}, "$.filters[0].outputTopic", "'a.b'"),
        ({"name": ""}, "$.filters[0].name", "at least 1 character"),
        ({"conditions": []}, "$.filters[0].conditions", "at least one condition"),
        ({"conditionLogic": "XOR"}, "$.filters[0].conditionLogic", "'XOR'"),
        ({"status": "lost"}, "$.filters[0].status", "'lost'"),
        ({"version": 0}, "$.filters[0].version", "greater than or equal to 1"),
        ({"enabled": "yes"}, "$.filters[0].enabled", "'yes'"),
        ({"unknown": 1}, "$.filters[0].unknown", "Extra inputs are not permitted"),
        ({"conditions": [{"field": "a b", "operator": "isNull"}]}, "$.filters[0].conditions[0].field", "'a b'"),
        ({"conditions": [{"field": "id", "operator": "like"}]}, "$.filters[0].conditions[0].operator", "'like'"),
        (
            {"conditions": [{"field": "id", "operator": "in", "values": ["a", {}]}]},
            "$.filters[0].conditions[0].values[1]",
            "a text, a number or a boolean",
        ),
        (
            {"conditions": {"logic": "OR", "conditions": [{"field": "id", "operator": "equals"}]}},
            "$.filters[0].conditions.conditions[0]",
            "needs 'value'",
        ),
        (
            {"conditions": {"logic": "NOR", "conditions": [{"field": "id", "operator": "isNull"}]}},
            "$.filters[0].conditions.logic",
            "'NOR'",
        ),
    ],
)
def test_a_wrong_filter_is_named_by_its_path(document: MakeDocument, changes: Json, path: str, reason: str) -> None:
    """In the form the document was written in, with the offending text (FL-2 to FL-6, FL-16)."""
    with pytest.raises(FilterError) as caught:
        parse_filters(document(**changes))
    assert caught.value.problems[0][0] == path
    assert reason in str(caught.value)


def test_the_structure_is_the_one_of_the_schema(document: MakeDocument) -> None:
    """What the published JSON Schema refuses is refused here too, so that an editor's check can be trusted (FL-2)."""
    schema = Draft202012Validator(schemas.filter_file_schema())
    wrong = [{"id": "A"}, {"name": ""}, {"conditions": []}, {"unknown": 1}, {"version": 0}, {"targets": []}]
    for changes in wrong:
        body = document(**changes)
        assert not schema.is_valid(body)
        with pytest.raises(FilterError):
            parse_filters(body)
    assert schema.is_valid(document())


def test_an_id_may_stand_once(document: MakeDocument) -> None:
    """Two filters of one id are an error at the second (FL-16)."""
    body = document()
    body["filters"] *= 2
    with pytest.raises(FilterError, match=r"^\$\.filters\[1\]\.id: 'one' is also the id of filter 0$"):
        parse_filters(body)


def test_a_topic_has_one_meaning(document: MakeDocument) -> None:
    """Two filters may feed a topic only with the same conditions (FL-16)."""
    body = document()
    other = document({"field": "event_type", "operator": "equals", "value": "B"}, id="two")["filters"][0]
    with pytest.raises(FilterError, match=r"^\$\.filters\[1\]\.outputTopic: .*other conditions"):
        parse_filters({**body, "filters": [*body["filters"], other]})
    same = {**body["filters"][0], "id": "two"}
    assert len(parse_filters({**body, "filters": [*body["filters"], same]}).filters) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no JSON"),
        ("[]", "valid dictionary"),
        ('{"version": 1}', r"\$\.filters: Field required"),
        ('{"version": "1", "filters": []}', r"\$\.version"),
        ('{"version": 1, "filters": [], "filters": []}', "'filters' stands twice"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str, reason: str) -> None:
    """Not JSON, not this shape, a key twice, not UTF-8: each is a sentence, not a trace (FL-70)."""
    file = tmp_path / "filters.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(FilterError, match=reason):
        load_filters(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """The message has the path that was looked for."""
    with pytest.raises(FilterError, match=r"nowhere\.json cannot be read"):
        load_filters(tmp_path / "nowhere.json")


def test_numbers_keep_every_digit(tmp_path: Path, document: MakeDocument) -> None:
    """A fraction is a decimal from the file on, and is written as it was read (FL-14)."""
    condition = {"field": "header_data.n", "operator": "in", "values": [0.1, 12345678.9], "valueType": "number"}
    file = tmp_path / "filters.json"
    file.write_text(json.dumps(document(condition)))
    read = load_filters(file)
    assert read.filters[0].conditions[0].operands == (Decimal("0.1"), Decimal("12345678.9"))
    assert to_file_form(read) == document(condition)
