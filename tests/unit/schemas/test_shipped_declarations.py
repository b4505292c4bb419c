"""Topics, filters and lookups are declared as the specification names them."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import schemas

BASES = [
    "filtered-car-created-events",
    "filtered-loan-created-events",
    "filtered-loan-payment-submitted-events",
    "filtered-service-events",
]


def test_topics_are_raw_four_filtered_and_dead_letters() -> None:
    """Names, partitions, retention and replication (CD-20 to CD-24, CD-28)."""
    declared = {topic.name: topic for topic in schemas.topics()}
    assert list(declared) == ["raw-event-headers", *(f"{base}-flink" for base in BASES), "dlq-raw-event-headers"]
    raw = declared["raw-event-headers"]
    assert (raw.partitions, raw.config["retention.ms"]) == (6, "604800000")
    assert {(topic.replication_local, topic.replication_cloud) for topic in declared.values()} == {(1, 3)}
    assert raw.config_cloud == {"compression.type": "snappy", "min.insync.replicas": "2"}
    assert "min.insync.replicas" not in raw.config


def test_dealer_topics_are_declared_apart() -> None:
    """Per-dealer topics come only when asked for (CD-26)."""
    added = [topic.name for topic in schemas.topics(dealers=True) if topic not in schemas.topics()]
    assert added == [f"filtered-service-events-dealer-00{n}-flink" for n in (1, 2, 3)]


def _filters(path: Any) -> list[dict[str, Any]]:
    document = json.loads(path.read_text())
    Draft202012Validator(schemas.filter_file_schema()).validate(document)
    assert document["version"] == 1
    filters: list[dict[str, Any]] = document["filters"]
    return filters


def test_the_four_shipped_filters() -> None:
    """Ids, consumers, topics and conditions (FL-17, FL-18)."""
    shipped = _filters(schemas.filters_path())
    types = list(schemas.EVENT_TYPES)
    ids = ["car-created-filter", "loan-created-filter", "loan-payment-submitted-filter", "service-events-filter"]
    consumers = ["car-consumer", "loan-consumer", "loan-payment-consumer", "service-consumer"]
    assert [(f["id"], f["consumerId"], f["outputTopic"]) for f in shipped] == list(
        zip(ids, consumers, BASES, strict=True)
    )
    for one, event_type in zip(shipped, types, strict=True):
        assert (one["status"], one["version"], one["enabled"], one["conditionLogic"]) == ("deployed", 1, True, "AND")
        assert one["conditions"] == [
            {"field": "event_type", "operator": "equals", "value": event_type, "valueType": "string"},
            {"field": "__op", "operator": "in", "values": ["c", "r"], "valueType": "string"},
        ]


def test_the_three_dealer_filters() -> None:
    """Dealer filters read the header JSON and feed the dealer topics (FL-20)."""
    for number, one in enumerate(_filters(schemas.dealer_filters_path()), start=1):
        assert one["id"] == f"service-by-dealer-00{number}"
        assert one["outputTopic"] == f"filtered-service-events-dealer-00{number}"
        assert {"field": "header_data.dealerId", "operator": "equals", "value": f"DEALER-00{number}"}.items() <= one[
            "conditions"
        ][1].items()


FAULTY = [
    {"id": "Car"},
    {"outputTopic": "filtered.cars"},
    {"conditions": []},
    {"conditions": [{"field": "id; drop", "operator": "isNull"}]},
    {"conditions": [{"field": "id", "operator": "like", "value": "x"}]},
    {"conditions": [{"field": "id", "operator": "isNull", "valueTyp": "string"}]},
    {"conditionLogic": "XOR"},
    {"status": "live"},
    {"version": 0},
    {"consumerGroup": "both-forms"},
    {"topic": "unknown key"},
]


@pytest.mark.parametrize("fault", FAULTY, ids=str)
def test_the_filter_schema_refuses_a_faulty_filter(fault: dict[str, Any]) -> None:
    """Structure is checked by the schema (FL-1 to FL-6)."""
    good = _filters(schemas.filters_path())[0]
    validator = Draft202012Validator(schemas.filter_file_schema())
    assert not validator.is_valid({"version": 1, "filters": [{**good, **fault}]})


def test_the_filter_schema_reads_the_form_of_the_service_api() -> None:
    """`consumerGroup` and nested conditions are the other accepted form (FL-4)."""
    good = _filters(schemas.filters_path())[0]
    api = {key: value for key, value in good.items() if key not in {"consumerId", "conditionLogic"}}
    api |= {"consumerGroup": "g", "conditions": {"logic": "OR", "conditions": good["conditions"]}}
    Draft202012Validator(schemas.filter_file_schema()).validate({"version": 1, "filters": [api]})


def test_each_entity_type_has_its_schema() -> None:
    """The names lead to the schemas, and there is none besides (EV-104)."""
    for entity_type, name in schemas.ENTITY_SCHEMAS.items():
        assert schemas.json_schema("v1", "entity", name)["title"] == entity_type
    header = schemas.json_schema("v1", "entity", "entity-header")
    assert set(header["properties"]["entityType"]["enum"]) == set(schemas.ENTITY_SCHEMAS)


def test_an_unknown_schema_is_an_error_that_lists_the_known_ones() -> None:
    """The loader names what there is."""
    with pytest.raises(LookupError, match=r"there are: .*v1/entity/car\.json"):
        schemas.json_schema("v1", "entity", "boat")
    assert schemas.json_schema("v1", "entity", "car")["title"] == "Car"
