"""Functions that do what a test asks of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_warm: list[int] = []
_kept: list[bytearray] = []


def handler(event: Any, context: Any) -> Any:
    """Do what `do` says, and return what it says."""
    _warm.append(1)
    if event.get("version") == "2.0":
        return _http(event, context)
    print(f"doing {event.get('do')}")  # noqa: T201 - the log of the function
    return globals()["_" + event.get("do", "echo")](event, context)


def _http(event: Any, context: Any) -> Any:
    """Do what the path says, with what the body says; `/event` returns the event itself."""
    given = json.loads(event["body"]) if event["rawPath"] != "/event" else None
    match event["rawPath"]:
        case "/event":
            return event
        case "/answer":
            return given
        case _:
            return globals()["_" + event["rawPath"].strip("/")](given, context)


def _echo(event: Any, context: Any) -> Any:
    return {
        "event": event,
        "pid": os.getpid(),
        "times": len(_warm),
        "request_id": context.aws_request_id,
        "remaining": context.get_remaining_time_in_millis(),
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "context": getattr(context.client_context, "custom", None),
        "variables": sorted(os.environ),
        "greeting": os.environ.get("GREETING"),
    }


def _raise(event: Any, context: Any) -> Any:
    raise ValueError(event["message"])


def _sleep(event: Any, context: Any) -> Any:
    # Until the test lets it go on, or its time is over.
    if "began" in event:
        Path(event["began"]).touch()
    gate = event.get("until")
    while not (gate and Path(gate).exists()):
        time.sleep(0.01)
    return os.getpid()


def _child(event: Any, context: Any) -> Any:
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    return [os.getpid(), child.pid]


def _exit(event: Any, context: Any) -> Any:
    os._exit(event["code"])


def _kill(event: Any, context: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _fill(event: Any, context: Any) -> Any:
    _kept.append(bytearray(os.urandom(1024)) * (event["megabytes"] * 1024))
    return _sleep(event, context)


def _keep(event: Any, context: Any) -> Any:
    _kept.append(bytearray(os.urandom(1024)) * (event["megabytes"] * 1024))
    return os.getpid()


def _size(event: Any, context: Any) -> Any:
    return "x" * event["bytes"]


def _count(event: Any, context: Any) -> Any:
    with Path(event["file"]).open("a") as file:
        file.write(context.aws_request_id + "\n")
    if event["file"].endswith("failing"):
        raise RuntimeError
    return "done"


def _log(event: Any, context: Any) -> Any:
    for number in range(event["lines"]):
        print(f"line {number}")  # noqa: T201
    sys.stderr.write("to standard error\n")
