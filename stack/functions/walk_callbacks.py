"""Owns the walk through the callbacks: PostgreSQL calls Lambda, and Lambda calls PostgreSQL."""

import json
import statistics
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final
from uuid import uuid4

import psycopg

import schemas
from stack.functions.reach import Reach
from stack.functions.walk import Walk, expect
from stack.settings import HOST

_CALLS: Final = 100
_ANSWER_SECONDS: Final = 60


def walk(reach: Reach, steps: Walk) -> None:
    """Call in both directions."""
    with steps.step("PostgresSetupFunction, as the deployment's custom resource, answers at its URL") as saw:
        said = _set_up(reach)
        expect(said.get("Status") == "SUCCESS", str(said))
        saw.text = f"{said['Status']}: {said['Data']['Functions']}"
    with reach.database() as database:
        _functions(database, steps)
        _validation(database, steps)
        with steps.step(f"{_CALLS} calls, one after the other") as saw:
            saw.text = _round_trips(database)
    with steps.step("LambdaToPostgres reads a secret, connects over TLS, writes and reads") as saw:
        answer = reach.invoke("LambdaToPostgres", {"message": "Hello from the walk"})
        expect(answer["statusCode"] == 200, str(answer))
        records = answer["body"]["records"]
        expect(records[0]["message"] == "Hello from the walk", str(records))
        saw.text = f"{len(records)} records, the newest {records[0]['created_at']}"


def _set_up(reach: Reach) -> dict[str, Any]:
    """Return what the custom resource puts to the URL that CloudFormation would have given it."""
    received: SimpleQueue[bytes] = SimpleQueue()

    class Response(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            received.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((HOST, 0), Response) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        server.timeout = _ANSWER_SECONDS
        event = {
            "RequestType": "Create",
            "ResponseURL": f"http://{HOST}:{server.server_port}/response",
            "StackId": "local",
            "RequestId": str(uuid4()),
            "LogicalResourceId": "Callbacks",
        }
        reach.invoke("PostgresSetupFunction", event)
        said: dict[str, Any] = json.loads(received.get(timeout=_ANSWER_SECONDS))
        thread.join()
    return said


def _functions(database: "psycopg.Connection[tuple[Any, ...]]", steps: Walk) -> None:
    for function, given, part in (
        ("process_data", {"id": 1, "value": "car"}, "processedData"),
        ("transform_data", {"id": 1, "value": "car"}, "transformedData"),
        ("validate_data", {"id": 1}, "validationResult"),
    ):
        with steps.step(f"SELECT {function}('{json.dumps(given)}')") as saw:
            row = database.execute(f"SELECT {function}(%s::jsonb)", (json.dumps(given),)).fetchone()
            answer = row[0] if row else {}
            expect(isinstance(answer, dict) and part in answer.get("body", {}), str(answer))
            saw.text = json.dumps(answer["body"][part])


def _validation(database: "psycopg.Connection[tuple[Any, ...]]", steps: Walk) -> None:
    sample = next(iter(schemas.samples().values()))
    with steps.step("SELECT validate_event(…) for an event that is right, and one without its header") as saw:
        right, wrong = (
            (database.execute("SELECT validate_event(%s::jsonb)", (json.dumps(event),)).fetchone() or (None,))[0]
            for event in (sample, {"entities": sample["entities"]})
        )
        expect(isinstance(right, dict) and right["valid"], str(right))
        expect(isinstance(wrong, dict) and not wrong["valid"] and wrong["errors"], str(wrong))
        saw.text = f"valid; invalid: {json.dumps(wrong['errors'])}"
    with steps.step("a function that is not there is an error of SQL") as saw:
        try:
            database.execute(
                "SELECT * FROM aws_lambda.invoke("
                "aws_commons.create_lambda_function_arn('nobody', 'us-east-1'), '{}'::jsonb)"
            )
        except psycopg.Error as error:
            saw.text = f"{error.diag.message_primary}: {error.diag.message_detail}"
            expect("nobody" in saw.text, saw.text)
        else:
            expect(False, "it answered")


def _round_trips(database: "psycopg.Connection[tuple[Any, ...]]") -> str:
    times = []
    for number in range(_CALLS):
        began = time.perf_counter()
        row = database.execute("SELECT process_data(%s::jsonb)", (json.dumps({"id": number}),)).fetchone()
        times.append((time.perf_counter() - began) * 1000)
        answer = row[0] if row else None
        expect(isinstance(answer, dict) and answer["body"]["processedData"]["id"] == number, str(answer))
    return f"p50 {statistics.median(times):.1f} ms, longest {max(times):.1f} ms"
