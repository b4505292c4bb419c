"""The vehicles of the API, by its WSGI application, on a real database."""

from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from functions.serverless_api.application import create_application

GOLF = {"vin": "WVWZZZ1JZXW000001", "make": "Volkswagen", "model": "Golf", "year": 1999}


def test_a_vehicle_is_created_read_replaced_and_deleted(client: FlaskClient) -> None:
    """The blueprint over the model (LC-162)."""
    made = client.post("/api/vehicles", json=GOLF)
    assert made.status_code == 201
    at = f"/api/vehicles/{made.json['id']}"
    assert client.get(at).json == made.json
    replaced = client.put(at, json=GOLF | {"year": 2000})
    assert (replaced.status_code, replaced.json["year"]) == (200, 2000)
    assert replaced.json["updated_at"] > made.json["updated_at"]
    assert client.get("/api/vehicles").json == {"vehicles": [replaced.json], "count": 1}
    assert client.delete(at).status_code == 204
    for answer in (client.get(at), client.put(at, json=GOLF), client.delete(at)):
        assert (answer.status_code, answer.json["error"]) == (404, "Vehicle not found")


def test_the_list_has_pages_newest_first(client: FlaskClient) -> None:
    """With a limit and an offset that must be sensible (LC-162)."""
    for number in range(3):
        client.post("/api/vehicles", json=GOLF | {"vin": f"WVWZZZ1JZXW00000{number}"})
    page = client.get("/api/vehicles?limit=2&offset=1").json
    assert [each["vin"][-1] for each in page["vehicles"]] == ["1", "0"]
    assert client.get("/api/vehicles?limit=0").status_code == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "body: Invalid JSON"),
        (b"[]", "body:"),
        ({**GOLF, "vin": "short"}, "vin:"),
        ({**GOLF, "year": 1500}, "year:"),
        ({**GOLF, "make": " "}, "make:"),
        ({**GOLF, "make": "a\x00b"}, "make:"),
        ({**GOLF, "colour": "red"}, "colour:"),
    ],
)
def test_bad_input_is_named(client: FlaskClient, body: Any, told: str) -> None:
    """400, with each fault (LC-162)."""
    answer = client.post("/api/vehicles", **({"data": body} if isinstance(body, bytes) else {"json": body}))
    assert (answer.status_code, answer.json["error"]) == (400, "Invalid input")
    assert any(each.startswith(told) for each in answer.json["details"])


def test_the_same_number_twice_is_a_conflict_and_leaves_nothing_behind(client: FlaskClient, database: Any) -> None:
    """409, the transaction is rolled back, and the same connection goes on (LC-157)."""
    client.post("/api/vehicles", json=GOLF)
    assert client.post("/api/vehicles", json=GOLF).status_code == 409
    assert client.get("/api/vehicles").json["count"] == 1
    assert database.engine.pool.checkedin() == 1


def test_what_is_not_served_is_answered_in_json(client: FlaskClient) -> None:
    """404, 405 with the methods that are, 413 (LC-162)."""
    assert client.get("/nowhere").json == {"error": "Not Found"}
    assert client.get("/api/vehicles/not-an-id").status_code == 404
    answer = client.patch(f"/api/vehicles/{uuid4()}")
    assert (answer.status_code, "PUT" in answer.headers["Allow"]) == (405, True)
    assert client.post("/api/vehicles", data=b" " * 70_000).status_code == 413


def test_a_session_commits_or_rolls_back_and_always_closes(database: Any) -> None:
    """Success is there afterwards, a failure is not, and neither keeps the connection (LC-157)."""
    insert = text("INSERT INTO vehicles (id, vin, make, model, year) VALUES (gen_random_uuid(), :vin, 'a', 'b', 2000)")
    with database.session() as session:
        session.execute(insert, {"vin": "kept"})

    def fail() -> None:
        with database.session() as session:
            session.execute(insert, {"vin": "undone"})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert database.engine.pool.checkedout() == 0
    with database.session() as session:
        assert session.scalars(text("SELECT vin FROM vehicles")).all() == ["kept"]


def test_a_failure_of_the_database_shows_neither_statement_nor_stack(
    make_database: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without tables: 500 with a general text (LC-162)."""
    client = create_application(make_database()).test_client()
    answer = client.get("/api/vehicles")
    assert (answer.status_code, answer.json) == (500, {"error": "Internal server error"})
    assert "SELECT" not in capsys.readouterr().out
