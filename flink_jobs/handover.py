"""Owns how a plan is handed to the cluster's REST interface, which is one of the ways; `gateway` is another."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flink_jobs.plan import Plan
from flink_jobs.rest import FlinkRest

Way = Callable[[Plan, str, str | None], None]
"""Hand over a plan, under a job id, to start from a checkpoint or savepoint or from nothing."""


def by_rest(rest: FlinkRest, connectors: Sequence[Path]) -> Way:
    """Return the way of one request that carries the compiled plan.

    Args:
        rest: The cluster.
        connectors: Archives that go along unless the cluster has them.
    """

    def submit(plan: Plan, job_id: str, start: str | None) -> None:
        body = plan.render(job_id, start)
        present = rest.class_path()
        missing = {jar.name: jar.read_bytes() for jar in connectors if jar.name not in present}
        rest.submit(body, {"headwater-functions.jar": plan.functions_jar, **missing})

    return submit
