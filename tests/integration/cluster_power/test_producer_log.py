"""The producer's log has the lines that docs/metrics.md counts."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import schemas
from stack.ports import free_ports

DOCUMENT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text("utf-8")
PROGRAM = "import json, sys; from producer.lambda_handler import handler; handler(json.load(sys.stdin), None)"


def _log(method: str, path: str, body: object = None) -> list[dict[str, str]]:
    http = {"method": method, "path": f"/api/v1/events{path}"}
    event = {"version": "2.0", "requestContext": {"http": http}, "body": json.dumps(body)}
    url = f"postgresql://nobody@127.0.0.1:{free_ports(1)[0]}/cars"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(event),
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _matching(lines: list[dict[str, str]]) -> list[str]:
    """Return the filters of the document that match a line, once for each such line."""
    found = []
    for pattern in re.findall(r"`(\{ \$\.[^`]+ \})`", DOCUMENT):
        wanted = dict(re.findall(r'\$\.(\w+) = "(\w+)"', pattern))
        found += [wanted["event"] for line in lines if wanted.items() <= line.items()]
    return found


def test_a_connection_error_is_one_line_that_the_filter_counts() -> None:
    """One for each request, whatever the number of tries (LC-170)."""
    assert _matching(_log("POST", "", schemas.samples()["car-created"])) == ["store_failed"]


def test_a_failed_health_request_is_one_line_that_the_filter_counts() -> None:
    """A 503 without an event (LC-170)."""
    assert _matching(_log("GET", "/health")) == ["health_check_failed"]
