"""Hundreds of filters as one job on real Flink: it compiles, runs, and every record is where it belongs, once."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Json = dict[str, Any]
Record = Callable[..., bytes]
Wait = Callable[..., Any]

TYPES = 220
PAIRS = 20
DEALERS = 30
NAMES = 20
EITHER = 10


def asks(field: str, **rest: object) -> Json:
    """Return one condition."""
    operator = "in" if "values" in rest else "equals"
    return {"field": field, "operator": operator, **rest}


def filters() -> dict[str, list[Json]]:
    """Return the conditions of three hundred filters by their names; those named `either` are joined by OR."""
    made = {f"type-{number}": [asks("event_type", value=f"T{number}")] for number in range(TYPES)}
    made |= {f"pair-{number}": [asks("event_type", values=[f"T{number}", f"T{number + 1}"])] for number in range(PAIRS)}
    for number in range(DEALERS):
        dealer = asks("header_data.dealerId", value=f"D{number}")
        made[f"dealer-{number}"] = [asks("event_type", value="Service"), dealer]
    made |= {f"name-{number}": [asks("event_name", value=f"Name {number}")] for number in range(NAMES)}
    for number in range(EITHER):
        made[f"either-{number}"] = [asks("event_type", value=f"E{number}"), asks("event_name", value=f"Or {number}")]
    return made


@pytest.mark.slow
def test_three_hundred_filters_run_as_one_job_and_route_each_record_once(
    stage: Any, record: Record, wait_for: Wait
) -> None:
    """No method outgrows the JVM, and one record may be in several topics, in each exactly once (FL-48)."""
    made = filters()
    bodies = [
        {
            "id": name,
            "name": name,
            "consumerId": "c",
            "outputTopic": f"many-{name}",
            "conditionLogic": "OR" if name.startswith("either") else "AND",
            "conditions": conditions,
        }
        for name, conditions in made.items()
    ]
    assert len(bodies) == 300
    stage.use({"version": 1, "filters": bodies})
    expected: dict[str, list[str]] = {
        "type-0": ["first"],
        "type-5": ["both"],
        "pair-4": ["both"],
        "pair-5": ["both"],
        "type-219": ["last"],
        "dealer-29": ["dealer"],
        "dealer-3": [],
        "name-7": ["named", "typed-and-named"],
        "type-100": ["typed-and-named"],
        "either-2": ["or-type", "or-name", "or-both"],
        "type-1": ["end"],
        "pair-0": ["end", "first"],
        "pair-1": ["end"],
    }
    stage.create_topics(*(f"many-{name}" for name in expected))
    stage.submit()
    stage.produce(
        [
            record("first", event_type="T0"),
            record("both", event_type="T5"),
            record("last", event_type="T219"),
            record("dealer", event_type="Service", header_data=json.dumps({"dealerId": "D29"})),
            record("no-dealer", event_type="Service", header_data="{}"),
            record("named", event_type="Other", event_name="Name 7"),
            record("typed-and-named", event_type="T100", event_name="Name 7"),
            record("or-type", event_type="E2"),
            record("or-name", event_type="Other", event_name="Or 2"),
            record("or-both", event_type="E2", event_name="Or 2"),
            record("nothing", event_type="T0", __op="u"),
            record("null", event_type=None, event_name=None),
            record("end", event_type="T1"),
        ]
    )
    wait_for(lambda: "end" in stage.ids(stage.filtered("many-type-1")), "the last record is through")
    found = {name: sorted(stage.ids(stage.filtered(f"many-{name}"))) for name in expected}
    assert found == {name: sorted(ids) for name, ids in expected.items()}
    assert stage.read(stage.dead) == []
