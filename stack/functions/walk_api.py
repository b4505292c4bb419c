"""Owns the walk through the web API over Aurora Serverless."""

import random
from typing import Any, Final

from stack.functions.reach import Reach
from stack.functions.walk import Walk, expect

_SIGNS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


def walk(reach: Reach, steps: Walk) -> None:
    """Prepare the database, then create, read, replace and delete over HTTP."""

    def call(method: str, path: str, status: int, body: Any = None) -> Any:
        answer = reach.call(reach.settings.serverless_api_url, method, path, body)
        expect(answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    with steps.step("the function that prepares the database, once more") as saw:
        answer = reach.invoke("serverless-api-init-db", {})
        expect(answer.get("created") == [], str(answer))
        saw.text = f"tables {', '.join(answer['tables'])}, none created"
    with steps.step("GET /api/health, without the database") as saw:
        saw.text = str(call("GET", "/api/health", 200))
    with steps.step("GET /api/health/database") as saw:
        saw.text = str(call("GET", "/api/health/database", 200))
    with steps.step("POST, GET, PUT and DELETE of a vehicle") as saw:
        given = {"vin": _number(), "make": "Tesla", "model": "Model S", "year": 2024}
        made = call("POST", "/api/vehicles", 201, given)
        path = f"/api/vehicles/{made['id']}"
        expect(call("GET", path, 200)["model"] == "Model S", str(made))
        expect(call("PUT", path, 200, given | {"model": "Model X"})["model"] == "Model X", "it was not replaced")
        call("DELETE", path, 204)
        saw.text = f"vehicle {made['id']}; afterwards {call('GET', path, 404)['error']}"
    with steps.step("a body that is no vehicle") as saw:
        saw.text = str(call("POST", "/api/vehicles", 400, {"make": 1}))


def _number() -> str:
    """Return the number of a vehicle that was not there before."""
    return "".join(random.choices(_SIGNS, k=17))  # noqa: S311 - no secret
