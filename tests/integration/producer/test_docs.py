"""The examples of docs/producer.md answer as the page says."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
# What differs from run to run.
VOLATILE = ("batchId", "processingTimeMs")


def _examples() -> list[tuple[str, str]]:
    """Return each command with the answer shown below it."""
    page = (ROOT / "docs" / "producer.md").read_text("utf-8")
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    found = re.findall(r"^\$ curl (.*)\n(\{.*)$", "".join(blocks), re.MULTILINE)
    assert len(found) == page.count("$ curl ") >= 5
    return found


def test_every_example_answers_as_shown(producer: Any) -> None:
    """In the order of the page, over an empty database."""
    for command, shown in _examples():
        url, *options = shlex.split(command)
        path = url.removeprefix("$EVENTS")
        body = options[1] if options else None
        if body is not None and body.startswith("@"):
            body = (ROOT / body[1:]).read_text("utf-8")
        reply = producer.call("POST" if options else "GET", path, body)
        expected = json.loads(shown)
        for answer in (expected, reply.body):
            for name in VOLATILE:
                answer.pop(name, None)
        assert reply.body == expected, command
