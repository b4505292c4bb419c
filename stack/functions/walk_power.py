"""Owns the walk through auto-stop and auto-start: the database really stops, and a POST brings it back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import psycopg

import schemas
from stack.functions import aws_names
from stack.functions.reach import Reach
from stack.functions.walk import Walk, expect, wait_until

_BACK_SECONDS: Final = 90
_HOURS_UP: Final = 4


def walk(reach: Reach, steps: Walk) -> None:
    """Stop the cluster as nobody uses it, post an event, be told to come back, and post it again."""
    with steps.step("auto-stop while requests are counted") as saw:
        _report(reach, "AWS/ApiGateway", "Count", {"ApiId": aws_names.API}, 3)
        saw.text = _kept(reach, "auto-stop")
    with steps.step("auto-stop without requests, while a replication slot is read") as saw:
        _report_uptime(reach)
        saw.text = _kept(reach, "auto-stop-idle")
    with steps.step("auto-stop that may stop it all the same") as saw:
        _report_uptime(reach)
        saw.text = _told(reach.invoke("auto-stop-forced", {}))
        expect(_status(reach) == "stopped", f"the cluster is {_status(reach)}: {saw.text}")
        wait_until(lambda: not _answers(reach), "the database goes on answering", _BACK_SECONDS)
    event = _event()
    with steps.step("POST an event to the stopped database") as saw:
        answer = reach.call(reach.settings.producer_url, "POST", "/api/v1/events", event)
        expect(answer.status_code == 503, f"{answer.status_code} {answer.text}")
        expect(answer.headers.get("retry-after") == "120", str(dict(answer.headers)))
        saw.text = f"503, Retry-After {answer.headers['retry-after']}: {answer.json()}"
    with steps.step("the cluster starts, and the database with it") as saw:
        wait_until(lambda: _answers(reach), "the database does not come back", _BACK_SECONDS)
        saw.text = f"cluster {_status(reach)}"
    with steps.step("the same POST again") as saw:
        answer = reach.call(reach.settings.producer_url, "POST", "/api/v1/events", event)
        expect(answer.status_code == 200, f"{answer.status_code} {answer.text}")
        saw.text = f"200 {answer.json()['event_id']}"


def _report(reach: Reach, namespace: str, metric: str, dimensions: dict[str, str], value: float) -> None:
    """Put a value where AWS would have put it: no gateway and no RDS is here to count."""
    reach.sdk("cloudwatch").put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": text} for name, text in dimensions.items()],
                # Whole seconds count: one of this very second may be later than the end that is asked for.
                "Timestamp": datetime.now(UTC) - timedelta(seconds=2),
                "Value": value,
            }
        ],
    )


def _report_uptime(reach: Reach) -> None:
    _report(reach, "AWS/RDS", "EngineUptime", {"DBClusterIdentifier": aws_names.CLUSTER}, _HOURS_UP * 3600)


def _kept(reach: Reach, function: str) -> str:
    said = _told(reach.invoke(function, {}))
    expect(_status(reach) == "available", f"the cluster is {_status(reach)}: {said}")
    return said


def _event() -> dict[str, Any]:
    event: dict[str, Any] = json.loads(json.dumps(next(iter(schemas.samples().values()))))
    event["eventHeader"]["uuid"] = str(uuid4())
    return event


def _told(answer: Any) -> str:
    body = json.loads(answer["body"]) if isinstance(answer.get("body"), str) else answer.get("body")
    expect(answer.get("statusCode") == 200, str(answer))
    return f"{body['message']}: {body['reason']}"


def _status(reach: Reach) -> str:
    clusters = reach.sdk("rds").describe_db_clusters(DBClusterIdentifier=aws_names.CLUSTER)["DBClusters"]
    return str(clusters[0]["Status"])


def _answers(reach: Reach) -> bool:
    try:
        with reach.database() as database:
            database.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
