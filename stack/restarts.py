"""Owns the count of restarts: a supervisord event listener that counts the starts of each service.

Run by supervisord as `python -m stack.restarts FILE`; the file maps the name of a service to its number of starts.
Facts: supervisor manual, «Event Listeners».
"""

import json
import sys
from pathlib import Path

from supervisor import childutils


def read(file: Path) -> dict[str, int]:
    """Return how often each service was started; empty when nothing was counted."""
    try:
        return {str(name): int(starts) for name, starts in json.loads(file.read_text()).items()}
    except (FileNotFoundError, ValueError):
        return {}


def count(file: Path, name: str) -> None:
    """Count one start; the file is replaced in one step."""
    starts = read(file)
    starts[name] = starts.get(name, 0) + 1
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(starts))
    partial.replace(file)


def main(file: Path) -> None:
    """Answer supervisord's events until it closes the pipe."""
    while True:
        try:
            headers, payload = childutils.listener.wait(sys.stdin, sys.stdout)
        except (EOFError, KeyError, ValueError):
            return
        if headers["eventname"] == "PROCESS_STATE_STARTING":
            count(file, childutils.get_headers(payload)["processname"])
        childutils.listener.ok(sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
