"""The JSON Schemas accept what the pipeline ships and refuse what EV-100 to EV-115 refuse."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import schemas

Faults = Callable[[dict[str, Any]], list[str]]
Edit = Callable[[dict[str, Any]], object]


def _entity(event: dict[str, Any]) -> dict[str, Any]:
    entity: dict[str, Any] = event["entities"][0]
    return entity


def test_every_schema_is_itself_valid_under_draft_2020_12() -> None:
    """Each file is a schema by the meta-schema (EV-100)."""
    every = [*schemas.json_schemas("v1").values(), schemas.filter_file_schema()]
    assert len(every) == 11
    for schema in every:
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", schemas.samples())
def test_every_shipped_sample_is_valid(name: str, event_faults: Faults) -> None:
    """Samples validate in decimal, money included (EV-115, EV-120, EV-121, EV-124, EV-126)."""
    assert event_faults(schemas.samples()[name]) == []


REFUSED: list[tuple[str, str, Edit]] = [
    ("car-created", "EV-100 other top-level key", lambda e: e.update(eventBody={})),
    ("car-created", "EV-100 no entity", lambda e: e.update(entities=[])),
    ("car-created", "EV-101 header field missing", lambda e: e["eventHeader"].pop("savedDate")),
    ("car-created", "EV-101 header field added", lambda e: e["eventHeader"].update(source="x")),
    ("car-created", "EV-101 uuid format", lambda e: e["eventHeader"].update(uuid="EVT-1")),
    ("car-created", "EV-101 date-time", lambda e: e["eventHeader"].update(createdDate="yesterday")),
    ("car-created", "EV-102 event type", lambda e: e["eventHeader"].update(eventType="CarSold")),
    ("car-created", "EV-103 event name", lambda e: e["eventHeader"].update(eventName="Car Sold")),
    ("car-created", "EV-104 entity type", lambda e: _entity(e)["entityHeader"].update(entityType="Boat")),
    ("car-created", "EV-104 header of another type", lambda e: _entity(e)["entityHeader"].update(entityType="Loan")),
    ("car-created", "EV-104 entity header added", lambda e: _entity(e)["entityHeader"].update(version=1)),
    ("car-created", "EV-105 letter O in vin", lambda e: _entity(e).update(vin="OHGCM82633A004352")),
    ("car-created", "EV-105 vin of 16", lambda e: _entity(e).update(vin="1HGCM82633A00435")),
    ("car-created", "EV-105 year 2031", lambda e: _entity(e).update(year=2031)),
    ("car-created", "EV-105 mileage", lambda e: _entity(e).update(mileage=1_000_000)),
    ("car-created", "EV-105 owner missing", lambda e: _entity(e).pop("owner")),
    ("car-created", "EV-107 owner of numbers", lambda e: _entity(e).update(owner={"firstName": 7})),
    ("car-created", "EV-108 premium below zero", lambda e: _entity(e).update(insurance={"premiumAmount": -1})),
    ("car-created", "EV-115 a tenth of a cent", lambda e: _entity(e).update(totalBalance=932.161)),
    ("loan-created", "EV-109 interest in percent", lambda e: _entity(e).update(interestRate=5.48)),
    ("loan-created", "EV-109 481 months", lambda e: _entity(e).update(termMonths=481)),
    ("loan-created", "EV-110 status", lambda e: _entity(e).update(status="late")),
    ("loan-created", "EV-115 money as text", lambda e: _entity(e).update(monthlyPayment="932.16")),
    ("loan-payment-submitted", "EV-111 amount below zero", lambda e: _entity(e).update(amount=-0.01)),
    ("car-service-done", "EV-112 fraction of a mile", lambda e: _entity(e).update(mileageAtService=1.5)),
    ("car-service-done", "EV-112 dealer missing", lambda e: _entity(e).pop("dealerId")),
]


@pytest.mark.parametrize(("sample", "what", "edit"), REFUSED, ids=[what for _, what, _ in REFUSED])
def test_a_faulty_event_is_refused(sample: str, what: str, edit: Edit, event_faults: Faults) -> None:
    """One edit makes a valid sample invalid (EV-100 to EV-115)."""
    event = deepcopy(schemas.samples()[sample])
    edit(event)
    assert event_faults(event) != []


ACCEPTED: list[tuple[str, str, Edit]] = [
    ("car-created", "EV-100 filters", lambda e: e.update(filters=["any"])),
    ("car-created", "EV-103 type as name", lambda e: e["eventHeader"].update(eventName="CarCreated")),
    ("car-created", "EV-106 extra key", lambda e: _entity(e).update(towbar=True)),
    ("car-created", "EV-107 owner object", lambda e: _entity(e).update(owner={"address": {"city": "Dayton"}})),
    ("car-created", "EV-115 932.16", lambda e: _entity(e).update(totalBalance=932.16)),
    ("loan-created", "EV-110 extra key", lambda e: _entity(e).update(broker="none", downPayment=0.1)),
    ("car-service-done", "EV-112 extra key", lambda e: _entity(e).update(parts=[{"id": "P"}], bay=4)),
]


@pytest.mark.parametrize(("sample", "what", "edit"), ACCEPTED, ids=[what for _, what, _ in ACCEPTED])
def test_an_allowed_variation_is_accepted(sample: str, what: str, edit: Edit, event_faults: Faults) -> None:
    """What the schemas leave open stays open (EV-100 to EV-115)."""
    event = deepcopy(schemas.samples()[sample])
    edit(event)
    assert event_faults(event) == []


def _service_details() -> dict[str, Any]:
    event = deepcopy(schemas.samples()["car-service-done"])
    header = {**_entity(event)["entityHeader"], "entityType": "ServiceDetails"}
    part = {"id": "P1", "serviceId": "S1", "partNumber": "PN-7", "partName": "pad", "quantity": 2, "cost": 19.99}
    people = {"technicianId": "T1", "technicianName": "Sam", "dealerId": "DEALER-001", "dealerName": "Riverside"}
    event["entities"] = [
        {
            "entityHeader": header,
            "id": "D1",
            "serviceId": "S1",
            "carId": "C1",
            **people,
            "serviceNotes": "",
            "warrantyWork": False,
            "partsUsed": [part],
        }
    ]
    return event


def test_service_details_and_parts_allow_no_further_keys(event_faults: Faults) -> None:
    """Both types are closed, on the top level and inside (EV-113, EV-114)."""
    event = _service_details()
    assert event_faults(event) == []
    part = _entity(event)["partsUsed"][0]
    alone = {
        **event,
        "entities": [{"entityHeader": {**_entity(event)["entityHeader"], "entityType": "PartUsed"}, **part}],
    }
    assert event_faults(alone) == []

    for closed in (_entity(event), part, _entity(alone)):
        closed["colour"] = "red"
        assert event_faults(alone if closed is _entity(alone) else event) != []
        del closed["colour"]
        assert event_faults(event) == event_faults(alone) == []


def test_sample_entities_refer_to_each_other() -> None:
    """Car, loan, payment and service carry each other's ids, and every event has an id of its own (EV-120, EV-126)."""
    samples = schemas.samples()
    car, loan = _entity(samples["car-created"]), _entity(samples["loan-created"])
    assert loan["carId"] == car["id"]
    assert _entity(samples["loan-payment-submitted"])["loanId"] == loan["id"]
    assert _entity(samples["car-service-done"])["carId"] == car["id"]
    assert _entity(samples["car-updated"])["entityHeader"]["entityId"] == car["id"]
    assert [entity["entityHeader"]["entityType"] for entity in samples["car-and-loan-created"]["entities"]] == [
        "Car",
        "Loan",
    ]
    assert len({event["eventHeader"]["uuid"] for event in samples.values()}) == len(samples)
    dealers = [_entity(samples[f"service-dealer-00{n}"])["dealerId"] for n in (1, 2, 3)]
    assert dealers == ["DEALER-001", "DEALER-002", "DEALER-003"]
