"""The function that PostgreSQL calls, invoked by the AWS SDK under AWS's runtime client."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import schemas
from tests.integration.lambdas.conftest import Service


def _call(service: Service, event: Any) -> dict[str, Any]:
    answer = service.invoke(event, "PostgresFunction")
    assert "FunctionError" not in answer
    value: dict[str, Any] = answer["value"]
    return value


def _body(service: Service, action: str, data: Any) -> dict[str, Any]:
    answer = _call(service, {"action": action, "data": data})
    assert answer["statusCode"] == 200
    body: dict[str, Any] = answer["body"]
    return body


def _is_now(timestamp: str) -> bool:
    return abs(datetime.now(UTC) - datetime.fromisoformat(timestamp)) < timedelta(minutes=1)


def test_process_marks_the_data(postgres_function: Service) -> None:
    """The data come back with `processed` and an ISO timestamp (LC-84, LC-85)."""
    body = _body(postgres_function, "process", {"id": 7, "deep": {"list": [1, 2.5, None]}})
    timestamp = body["processedData"].pop("timestamp")
    assert body == {
        "status": "success",
        "message": "Data processed successfully",
        "processedData": {"id": 7, "deep": {"list": [1, 2.5, None]}, "processed": True},
    }
    assert _is_now(timestamp)


@pytest.mark.parametrize(("value", "upper"), [("straße", "STRASSE"), (7, None), (["a"], None), (None, None)])
def test_transform_gives_upper_case_of_text_alone(postgres_function: Service, value: Any, upper: str | None) -> None:
    """`uppercase` is null for what is no text, and nothing fails (LC-86, LC-88)."""
    body = _body(postgres_function, "transform", {"value": value, "kept": True})
    timestamp = body["transformedData"].pop("timestamp")
    assert body == {
        "status": "success",
        "message": "Data transformed successfully",
        "transformedData": {"value": value, "kept": True, "transformed": True, "uppercase": upper},
    }
    assert _is_now(timestamp)


def test_transform_without_a_value_gives_null(postgres_function: Service) -> None:
    """A missing `value` is null in upper case (LC-86)."""
    assert _body(postgres_function, "transform", {})["transformedData"]["uppercase"] is None


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ({"id": 1, "value": "x"}, []),
        ({"id": 0, "value": False}, []),
        ({"value": "x"}, ["id"]),
        ({"id": None, "value": ""}, ["id", "value"]),
        ({}, ["id", "value"]),
        (None, ["id", "value"]),
    ],
)
def test_validate_lists_every_missing_field(postgres_function: Service, data: Any, missing: list[str]) -> None:
    """0 and false are there, null and an empty text are not, and `isValid` is a boolean (LC-87, LC-88)."""
    body = _body(postgres_function, "validate", data)
    assert _is_now(body["validationResult"].pop("timestamp"))
    assert body == {
        "status": "error" if missing else "success",
        "message": "Data is invalid" if missing else "Data is valid",
        "validationResult": {"isValid": not missing, "missingFields": missing},
    }
    assert isinstance(body["validationResult"]["isValid"], bool)


@pytest.mark.parametrize("action", ["unheard-of", None, 7, ["process"]])
def test_an_unknown_action_gives_the_data_back(postgres_function: Service, action: Any) -> None:
    """The default action succeeds, whatever was asked for (LC-89)."""
    data = {"id": 1}
    assert _body(postgres_function, action, data) == {
        "status": "success",
        "message": "Default action performed",
        "data": data,
    }


@pytest.mark.parametrize(
    "event", [{"action": "process", "data": "text"}, {"action": "validate", "data": [1]}, [], "x", 7]
)
def test_what_cannot_be_worked_on_is_an_answer_with_500(postgres_function: Service, event: Any) -> None:
    """Bad input is told in the body, and is no failure of the function (LC-84)."""
    answer = _call(postgres_function, event)
    assert answer["statusCode"] == 500
    assert answer["body"]["status"] == "error"
    assert "must be an object" in answer["body"]["message"]


def test_a_valid_event_is_valid(postgres_function: Service) -> None:
    """Every shipped sample passes, its money judged in decimal (LC-99)."""
    for event in schemas.samples().values():
        assert _body(postgres_function, "validate_event", event) == {"valid": True, "errors": [], "version": "v1"}


def test_an_invalid_event_is_told_field_by_field(postgres_function: Service) -> None:
    """The faults are those of the entity's own type, each with its place (LC-99)."""
    event = deepcopy(schemas.samples()["car-created"])
    event["eventHeader"]["uuid"] = "EVT-1"
    event["entities"][0] |= {"year": 2031, "totalBalance": 932.161}
    answer = _body(postgres_function, "validate_event", event)
    assert answer["valid"] is False
    assert answer["version"] == "v1"
    assert {error["field"] for error in answer["errors"]} == {
        "eventHeader.uuid",
        "entities[0].year",
        "entities[0].totalBalance",
    }
    assert all(error["message"] for error in answer["errors"])
