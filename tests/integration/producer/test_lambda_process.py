"""The Lambda as its runtime sees it: a module to import and a function to call (EV-3 to EV-5, LC-1, LC-5, LC-8)."""

import json
import os
import subprocess
import sys
from typing import Any

import schemas

RUNTIME = """
import json, sys
from producer.lambda_handler import handler, service

class Context:
    aws_request_id = "from-the-runtime"
    def get_remaining_time_in_millis(self):
        return 10_000

connections = set()
for line in sys.stdin:
    output = handler(json.loads(line), Context())
    connections.add(id(service().links.mine()._connection))
    print(json.dumps(output))
print(json.dumps(len(connections)))
"""


def _run(events: list[dict[str, Any]], **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "AURORA_ENDPOINT"}}
    return subprocess.run(
        [sys.executable, "-c", RUNTIME],
        input="".join(json.dumps(event) + "\n" for event in events),
        env={**inherited, "AWS_LAMBDA_FUNCTION_NAME": "headwater", "LOG_LEVEL": "error", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_warm_invocations_share_settings_and_connection(producer: Any) -> None:
    """Both payload formats, one process, one connection (EV-3, EV-4, LC-8)."""
    body = json.dumps(schemas.samples()["car-created"])
    two = {"version": "2.0", "requestContext": {"http": {"method": "POST", "path": "/api/v1/events"}}, "body": body}
    one = {"httpMethod": "POST", "path": "/api/v1/events", "body": body}
    done = _run([two, one, {}, {"body": 7}], DATABASE_URL=producer.database_url)
    assert done.stderr == ""
    *outputs, connections = [json.loads(line) for line in done.stdout.splitlines()]
    assert [output["statusCode"] for output in outputs] == [200, 409, 404, 400]
    assert connections == 1
    assert producer.counts() == (1, 1, 1)


def test_a_missing_variable_fails_the_start_of_the_function() -> None:
    """The import fails, before any request (LC-5)."""
    done = _run([])
    assert done.returncode != 0
    assert "set DATABASE_URL, or else also AURORA_ENDPOINT" in done.stderr
