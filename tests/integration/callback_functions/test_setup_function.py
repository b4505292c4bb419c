"""The custom resource, invoked by the AWS SDK, answering to a response URL that a test listens on."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.lambdas.conftest import Service

NAME = "PostgresSetupFunction"


class Bucket:
    """What takes the answers: a web server that keeps them and gives the statuses it was told to."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = bucket.statuses.pop(0) if bucket.statuses else 200
                bucket.requests.append((self.path, self.headers.get("Content-Type", "absent")))
                if status == 200:
                    bucket.answers.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/answer?Signature=s1gned"

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """A response URL."""
    made = Bucket()
    yield made
    made.close()


@pytest.fixture
def function(tmp_path: Path, environment: dict[str, str], aws_database_url: str) -> Iterator[Service]:
    """The function, with a database whose server has the extension."""
    settings = {"timeout_seconds": 30, "memory_mb": 256, "handler": "callbacks.setup_function.handler"}
    broken = {**environment, "DB_NAME": "no_such_database"}
    unset = {name: value for name, value in environment.items() if name != "POSTGRES_FUNCTION_NAME"}
    service = Service(
        tmp_path,
        {
            NAME: {**settings, "environment": environment},
            "broken": {**settings, "environment": broken},
            "unset": {**settings, "environment": unset},
        },
    )
    yield service
    service.close()


def _request(bucket: Bucket, kind: str, **more: str) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": bucket.url,
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/s/1",
        "RequestId": "r-1",
        "LogicalResourceId": "Callbacks",
        "ResourceType": "Custom::PostgresSetup",
        "ResourceProperties": {},
        **more,
    }


def _functions(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_proc WHERE proname IN ('process_data', 'transform_data', 'validate_data')"
        ).fetchone()
    assert row is not None
    count: int = row[0]
    return count


def test_create_update_and_delete(function: Service, bucket: Bucket, aws_database_url: str) -> None:
    """Create and Update set up, Delete touches nothing, all under one physical id, one answer each (LC-93, LC-94)."""
    assert "FunctionError" not in function.invoke(_request(bucket, "Create"), NAME)
    assert _functions(aws_database_url) == 3
    (created,) = bucket.answers
    physical = created["PhysicalResourceId"]
    with psycopg.connect(aws_database_url) as connection:
        connection.execute("DROP FUNCTION process_data")
    function.invoke(_request(bucket, "Update", PhysicalResourceId=physical), NAME)
    assert _functions(aws_database_url) == 3
    function.invoke(_request(bucket, "Delete", PhysicalResourceId=physical), NAME)
    assert _functions(aws_database_url) == 3
    assert [(answer["Status"], answer["PhysicalResourceId"]) for answer in bucket.answers] == [
        ("SUCCESS", physical)
    ] * 3


def test_the_answer_has_every_field(function: Service, bucket: Bucket) -> None:
    """One PUT to the signed URL, with an empty content type as it was signed for (LC-95)."""
    function.invoke(_request(bucket, "Create"), NAME)
    (answer,) = bucket.answers
    assert set(answer) == {
        "Status",
        "Reason",
        "PhysicalResourceId",
        "StackId",
        "RequestId",
        "LogicalResourceId",
        "Data",
    }
    assert (answer["StackId"], answer["RequestId"], answer["LogicalResourceId"]) == (
        "arn:aws:cloudformation:us-east-1:123456789012:stack/s/1",
        "r-1",
        "Callbacks",
    )
    assert "process_data" in answer["Data"]["Functions"]
    assert bucket.requests == [("/answer?Signature=s1gned", "")]


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("broken", "Create", "does not exist"),
        ("unset", "Create", "POSTGRES_FUNCTION_NAME"),
        (NAME, "Replace", "RequestType is 'Replace'"),
    ],
)
def test_a_failure_is_answered_once_with_its_reason(
    function: Service, bucket: Bucket, name: str, kind: str, reason: str
) -> None:
    """FAILED with the reason, and the invocation itself succeeds, so that it is not repeated (LC-95)."""
    assert "FunctionError" not in function.invoke(_request(bucket, kind), name)
    (answer,) = bucket.answers
    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]
    assert answer["PhysicalResourceId"]
    assert "s3cret" not in json.dumps(answer) + function.log.read_text()


def test_delete_needs_no_database(function: Service, bucket: Bucket) -> None:
    """A stack can be deleted when its database is gone (LC-94)."""
    function.invoke(_request(bucket, "Delete", PhysicalResourceId="p"), "broken")
    assert [(answer["Status"], answer["PhysicalResourceId"]) for answer in bucket.answers] == [("SUCCESS", "p")]


def test_an_answer_that_was_not_taken_is_sent_again(function: Service, bucket: Bucket) -> None:
    """An error of the store is no answer; a refusal fails the invocation, and the signed URL is not told (LC-95)."""
    bucket.statuses = [503, 200]
    assert "FunctionError" not in function.invoke(_request(bucket, "Delete"), NAME)
    assert len(bucket.answers) == 1
    bucket.statuses = [403]
    failed = function.invoke(_request(bucket, "Delete"), NAME)
    assert failed["FunctionError"] == "Unhandled"
    assert "status 403" in failed["value"]["errorMessage"]
    assert "s1gned" not in json.dumps(failed["value"]) + function.log.read_text()
    assert len(bucket.requests) == 3
