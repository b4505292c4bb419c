"""Owns one client of the measurement: a process that calls the Lambda handler again and again.

Speaks lines on the descriptor that it is given: it writes `ready` when it is warm, reads how many seconds to call, and
writes what became of its calls as JSON. Standard output is the handler's, for its log. The database is the
environment's, as in Lambda.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from producer.lambda_handler import handler
from stack.producer_bench.gateway_events import Context, maker

_WARM_CALLS = 200


def main() -> int:
    """Call until the time is up; return 0."""
    descriptor, seed = map(int, sys.argv[1:])
    make, context = maker(seed), Context()
    warm = Counter(handler(make(), context)["statusCode"] for _ in range(_WARM_CALLS))
    with os.fdopen(descriptor, "w", buffering=1) as answers:
        answers.write("ready\n")
        seconds = float(sys.stdin.readline())
        answers.write(json.dumps(_call(make, context, seconds) | {"warm": warm[HTTPStatus.OK]}) + "\n")
    return 0


def _call(make: Callable[[], dict[str, Any]], context: Context, seconds: float) -> dict[str, float]:
    refused = called = 0
    began, spent = time.perf_counter(), time.process_time()
    until = began + seconds
    while time.perf_counter() < until:
        called += 1
        if handler(make(), context)["statusCode"] != HTTPStatus.OK:
            refused += 1
    took, spent = time.perf_counter() - began, time.process_time() - spent
    return {"committed": called - refused, "refused": refused, "seconds": took, "processor_seconds": spent}


if __name__ == "__main__":
    sys.exit(main())
