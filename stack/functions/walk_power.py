"""Owns the walk through auto-stop and auto-start: the database really stops, and a POST brings it back."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import psycopg

import schemas
from stack.functions import aws
from stack.functions.reach import Reach
from stack.functions.walk import Walk, WalkError, expect

_BACK_SECONDS: Final = 90


def walk(reach: Reach, steps: Walk) -> None:
    """Stop the cluster as nobody uses it, post an event, be told to come back, and post it again."""
    with steps.step("auto-stop while requests are counted") as saw:
        _count(reach, 3)
        saw.text = _told(reach.invoke("auto-stop", {}))
        expect(_status(reach) == "available", f"the cluster is {_status(reach)}")
    with steps.step("auto-stop while a replication slot is read") as saw:
        saw.text = _told(reach.invoke("auto-stop-idle", {}))
        expect(_status(reach) == "available", f"the cluster is {_status(reach)}")
    with steps.step("auto-stop that may stop it all the same") as saw:
        saw.text = _told(reach.invoke("auto-stop-forced", {}))
        expect(_status(reach) == "stopped", f"the cluster is {_status(reach)}")
        _wait(lambda: not _answers(reach), "the database goes on answering")
    event = _event()
    with steps.step("POST an event to the stopped database") as saw:
        answer = reach.call(reach.settings.producer_url, "POST", "/api/v1/events", event)
        expect(answer.status_code == 503, f"{answer.status_code} {answer.text}")
        expect(answer.headers.get("retry-after") == "120", str(dict(answer.headers)))
        saw.text = f"503, Retry-After {answer.headers['retry-after']}: {answer.json()}"
    with steps.step("the cluster starts, and the database with it") as saw:
        _wait(lambda: _answers(reach), "the database does not come back")
        saw.text = f"cluster {_status(reach)}"
    with steps.step("the same POST again") as saw:
        answer = reach.call(reach.settings.producer_url, "POST", "/api/v1/events", event)
        expect(answer.status_code == 200, f"{answer.status_code} {answer.text}")
        saw.text = f"200 {answer.json()['event_id']}"


def _count(reach: Reach, requests: int) -> None:
    """Put what API Gateway counts where the function looks."""
    reach.sdk("cloudwatch").put_metric_data(
        Namespace="AWS/ApiGateway",
        MetricData=[
            {
                "MetricName": "Count",
                "Dimensions": [{"Name": "ApiId", "Value": aws.API}],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=10),
                "Value": requests,
                "Unit": "Count",
            }
        ],
    )


def _event() -> dict[str, Any]:
    event: dict[str, Any] = json.loads(json.dumps(next(iter(schemas.samples().values()))))
    event["eventHeader"]["uuid"] = str(uuid4())
    return event


def _told(answer: Any) -> str:
    body = json.loads(answer["body"]) if isinstance(answer.get("body"), str) else answer.get("body")
    expect(answer.get("statusCode") == 200, str(answer))
    return str(body.get("message", body))


def _status(reach: Reach) -> str:
    clusters = reach.sdk("rds").describe_db_clusters(DBClusterIdentifier=aws.CLUSTER)["DBClusters"]
    return str(clusters[0]["Status"])


def _answers(reach: Reach) -> bool:
    try:
        with reach.database() as database:
            database.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _wait(until: Any, otherwise: str) -> None:
    deadline = time.monotonic() + _BACK_SECONDS
    while not until():
        if time.monotonic() > deadline:
            raise WalkError(otherwise)
        time.sleep(0.2)
