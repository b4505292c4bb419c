"""What an event must have, in which order that is checked, and what the tables get (EV-10 to EV-29, EV-90 to EV-93)."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import schemas
from producer.admission import Admission
from producer.model import Event
from producer.refusals import ContentError, RefusedError, StructureError

NOW = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
NOW_TEXT = "2026-05-06T07:08:09.123456Z"
CAR = schemas.samples()["car-created"]

Edit = Callable[[dict[str, Any]], object]


def _admit(event: Any, copied: tuple[tuple[str, str], ...] = ()) -> Event:
    text = json.dumps(event)
    admission = Admission(NOW, copied)
    return admission.admit(admission.structure(event), event, text)


def _edited(edit: Edit) -> dict[str, Any]:
    event = deepcopy(CAR)
    edit(event)
    return event


def _entity(event: dict[str, Any]) -> dict[str, Any]:
    header: dict[str, Any] = event["entities"][0]["entityHeader"]
    return header


STRUCTURE: dict[str, Edit] = {
    "eventHeader: Field required": lambda e: e.pop("eventHeader"),
    "eventHeader: Input should be": lambda e: e.update(eventHeader="x"),
    "eventHeader.eventName: Input should be a valid string": lambda e: e["eventHeader"].update(eventName=7),
    "eventHeader.uuid: Input should be a valid string": lambda e: e["eventHeader"].update(uuid=7),
    "eventHeader.uuid: String should have at most 255": lambda e: e["eventHeader"].update(uuid="x" * 256),
    "eventHeader.createdDate: not a date": lambda e: e["eventHeader"].update(createdDate="soon"),
    "entities: Input should be a valid list": lambda e: e.update(entities={}),
    r"entities\[0\]: Input should be": lambda e: e.update(entities=[None]),
    r"entities\[0\].entityHeader: Field required": lambda e: e["entities"][0].pop("entityHeader"),
    r"entities\[0\].entityHeader.entityId: Field required": lambda e: _entity(e).pop("entityId"),
    r"entities\[0\].entityHeader.entityType: Field required": lambda e: _entity(e).pop("entityType"),
    r"entities\[0\].entityHeader.createdAt: Field required": lambda e: _entity(e).pop("createdAt"),
    r"entities\[0\].entityHeader.updatedAt: not a date": lambda e: _entity(e).update(updatedAt=None),
    r"entities\[0\].entityHeader.entityId: Input should be a valid string": lambda e: _entity(e).update(entityId=5),
}


@pytest.mark.parametrize(("reason", "edit"), STRUCTURE.items(), ids=STRUCTURE)
def test_a_wrong_structure_is_refused_with_its_place(reason: str, edit: Edit) -> None:
    """Missing header, wrong type, bad date, text wider than its column (EV-12, EV-13, EV-20)."""
    with pytest.raises(StructureError, match=reason):
        _admit(_edited(edit))


@pytest.mark.parametrize("document", [None, 5, "text", [], [CAR], True])
def test_a_document_that_is_no_object_is_refused(document: object) -> None:
    """One event is one object (EV-10, EV-20)."""
    with pytest.raises(StructureError):
        _admit(document)


def test_a_long_list_of_faults_is_cut_short() -> None:
    """The reason stays readable, and says how much it leaves out (EV-20)."""
    with pytest.raises(StructureError, match="; and 495 more") as caught:
        _admit({**CAR, "entities": [None] * 500})
    assert len(str(caught.value)) < 1000


CONTENT: dict[str, list[Edit]] = {
    "Event header event_name is required": [
        lambda e: e["eventHeader"].update(eventName=""),
        lambda e: e["eventHeader"].update(eventName=" \t"),
        lambda e: e["eventHeader"].update(eventName=None),
        lambda e: e["eventHeader"].pop("eventName"),
    ],
    "Event must contain at least one entity": [
        lambda e: e.update(entities=[]),
        lambda e: e.update(entities=None),
        lambda e: e.pop("entities"),
    ],
    "Entity type cannot be empty": [lambda e: _entity(e).update(entityType="", entityId="")],
    "Entity ID cannot be empty": [lambda e: _entity(e).update(entityId=" ")],
}


@pytest.mark.parametrize("reason", CONTENT)
def test_what_is_missing_is_named_word_for_word(reason: str) -> None:
    """Name, entities, entity type, entity id: missing, null and empty alike (EV-21 to EV-23)."""
    for edit in CONTENT[reason]:
        with pytest.raises(ContentError) as caught:
            _admit(_edited(edit))
        assert str(caught.value) == reason


def test_the_checks_run_in_the_order_of_the_contract() -> None:
    """Structure, name, entities, entity fields: the first fault is the one answered (EV-29)."""
    event = _edited(lambda e: _entity(e).update(entityType="", createdAt="soon"))
    event["eventHeader"]["eventName"] = ""
    seen: list[str] = []
    for mend in (
        lambda: _entity(event).update(createdAt=0),
        lambda: event["eventHeader"].update(eventName="n"),
        lambda: _entity(event).update(entityType="Car"),
    ):
        with pytest.raises(RefusedError) as caught:
            _admit(event)
        seen.append(str(caught.value).split(":")[0])
        mend()
    assert seen == [
        "entities[0].entityHeader.createdAt",
        "Event header event_name is required",
        "Entity type cannot be empty",
    ]
    assert _admit(event).name == "n"


def test_the_columns_come_from_the_header() -> None:
    """Id, name, type and dates; the document is the text as received (EV-90, EV-91)."""
    head = CAR["eventHeader"]
    event = _admit(CAR)
    assert (event.id, event.name, event.type) == (head["uuid"], "Car Created", "CarCreated")
    assert (event.created, event.saved) == (head["createdDate"], head["savedDate"])
    assert event.document == json.dumps(CAR)
    entity = _entity(CAR)
    (stored,) = event.entities
    assert (stored.type, stored.id) == ("Car", entity["entityId"])
    assert (stored.created_at, stored.updated_at) == (entity["createdAt"], entity["updatedAt"])


def test_the_header_json_has_exactly_five_fields() -> None:
    """Dates are ISO 8601 in UTC whatever the sender wrote; a missing type is null (EV-92, CD-43)."""
    event = _edited(lambda e: e["eventHeader"].update(createdDate=1768473000000, savedDate="2026-01-15T12:30:00+02:00"))
    event["eventHeader"].pop("eventType")
    event["eventHeader"]["source"] = "not copied"
    assert json.loads(_admit(event).header) == {
        "uuid": CAR["eventHeader"]["uuid"],
        "eventName": "Car Created",
        "eventType": None,
        "createdDate": "2026-01-15T10:30:00Z",
        "savedDate": "2026-01-15T10:30:00Z",
    }


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_what_the_sender_left_out_is_filled_once(missing: str | None) -> None:
    """One id and one instant, the same in columns and header JSON; the document stays as received (EV-15, EV-16)."""
    given = _edited(lambda e: e["eventHeader"].update(uuid=missing, createdDate=None, savedDate=None))
    event = _admit(given)
    assert str(UUID(event.id)) == event.id
    assert (event.created, event.saved) == (NOW_TEXT, NOW_TEXT)
    header = json.loads(event.header)
    assert (header["uuid"], header["createdDate"], header["savedDate"]) == (event.id, NOW_TEXT, NOW_TEXT)
    assert json.loads(event.document) == given
    assert _admit(given).id != event.id


def test_snake_case_is_read_like_camel_case() -> None:
    """The same columns, header JSON and document come of both spellings (EV-17, EV-91)."""
    head, (car,) = CAR["eventHeader"], CAR["entities"]
    own = car["entityHeader"]
    snake = {
        "event_header": {
            "uuid": head["uuid"],
            "event_name": head["eventName"],
            "event_type": head["eventType"],
            "created_date": head["createdDate"],
            "saved_date": head["savedDate"],
        },
        "entities": [
            {
                **{name: value for name, value in car.items() if name != "entityHeader"},
                "entity_header": {
                    "entity_id": own["entityId"],
                    "entity_type": own["entityType"],
                    "created_at": own["createdAt"],
                    "updated_at": own["updatedAt"],
                },
            }
        ],
    }
    one, other = _admit(CAR), _admit(snake)
    assert json.loads(one.document) == json.loads(other.document)
    assert (one.id, one.name, one.type, one.created, one.saved, one.header, one.entities) == (
        other.id,
        other.name,
        other.type,
        other.created,
        other.saved,
        other.header,
        other.entities,
    )


def test_configured_entity_fields_are_copied_into_the_header_json() -> None:
    """The first entity of the type that has it gives a plain value; objects are not copied (FL-21)."""
    service = schemas.samples()["service-dealer-002"]
    copied = (("ServiceRecord", "dealerId"), ("Car", "owner"), ("ServiceRecord", "parts"), ("Loan", "id"))
    event = {**service, "entities": [{**service["entities"][0], "parts": [1]}, *CAR["entities"], *service["entities"]]}
    header = json.loads(_admit(event, copied).header)
    assert (header["dealerId"], header["owner"]) == ("DEALER-002", CAR["entities"][0]["owner"])
    assert set(header) == {"uuid", "eventName", "eventType", "createdDate", "savedDate", "dealerId", "owner"}
