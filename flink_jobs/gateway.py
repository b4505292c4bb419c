"""Owns the way of the job through a Flink SQL gateway: the script, statement by statement, over its REST API (FL-58).

The gateway plans the same statements with the same options that a plan is compiled from, and hands the job to its
cluster under the id that it is told. Must never start a job twice, or look after one: `submission` does. Facts: Flink
2.2, «SQL Gateway», REST endpoint; `$internal.pipeline.job-id`.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import structlog

from flink_jobs.handover import Way
from flink_jobs.plan import Blueprint, Plan, PlanError
from flink_jobs.predicates import text_literal
from flink_jobs.rest import FlinkError, FlinkUnreachableError, reason_of
from flink_jobs.sql import Kind
from flink_jobs.submission import Submitter

_log = structlog.get_logger()

_POLL_SECONDS: Final = 0.05
_STATEMENT_SECONDS: Final = 120
_ENDED: Final = frozenset({"FINISHED", "ERROR", "CANCELED", "CLOSED", "TIMEOUT"})


class Gateway:
    """Submit by one SQL gateway.

    Args:
        url: Its REST endpoint.
        blueprint: The job.
        functions_jar: The archive of the job's Java functions, at a path under which the gateway reads it as well.
    """

    def __init__(self, url: str, blueprint: Blueprint, functions_jar: Path) -> None:
        self._url = url.rstrip("/")
        self._blueprint = blueprint
        self._functions_jar = functions_jar

    def check(self) -> None:
        """Ask the gateway for a sign of life.

        Raises:
            FlinkUnreachableError: It does not answer.
        """
        with self._client() as client:
            self._call(client, "GET", "/info")

    def submit(self, _plan: Plan, job_id: str, _start: str | None) -> None:
        """Hand the job to the gateway's cluster under an id; it starts where the consumer group is.

        Not from a checkpoint: a gateway numbers the steps of its jobs on and on, and state goes by these numbers.

        Raises:
            FlinkError: The gateway refuses a statement; the message has its root cause.
            FlinkUnreachableError: It does not answer.
        """
        properties = {**self._blueprint.configuration, "$internal.pipeline.job-id": job_id}
        with self._client() as client, self._session(client, properties) as session:
            for text in self._statements():
                self._execute(client, session, text)
        _log.info("job_given_to_gateway", job=job_id, gateway=self._url)

    def _statements(self) -> Iterator[str]:
        for jar in (*self._blueprint.jars, str(self._functions_jar)):
            yield f"ADD JAR {text_literal(jar)}"
        inserts = []
        for statement in self._blueprint.statements:
            if statement.kind is Kind.INSERT:
                inserts.append(statement.script)
            else:
                yield statement.script
        yield "\n".join(("EXECUTE STATEMENT SET", "BEGIN", *inserts, "END;"))

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=30)

    @contextmanager
    def _session(self, client: httpx.Client, properties: dict[str, str]) -> Iterator[str]:
        handle = self._call(client, "POST", "/sessions", {"properties": properties})["sessionHandle"]
        try:
            yield f"/sessions/{handle}"
        finally:
            # Its tables and functions go with it; the job does not need them any more.
            self._call(client, "DELETE", f"/sessions/{handle}")

    def _execute(self, client: httpx.Client, session: str, text: str) -> None:
        handle = self._call(client, "POST", f"{session}/statements", {"statement": text})["operationHandle"]
        operation = f"{session}/operations/{handle}"
        deadline = time.monotonic() + _STATEMENT_SECONDS
        while (status := str(self._call(client, "GET", f"{operation}/status")["status"])) not in _ENDED:
            if time.monotonic() >= deadline:
                raise FlinkError(f"the SQL gateway is still at it after {_STATEMENT_SECONDS} s: {_head(text)}")
            time.sleep(_POLL_SECONDS)
        # The result is asked for in any case: an error is told there and nowhere else.
        self._call(client, "GET", f"{operation}/result/0", about=text)
        if status != "FINISHED":
            raise FlinkError(f"the SQL gateway ended with {status}: {_head(text)}")

    def _call(self, client: httpx.Client, method: str, path: str, body: object = None, about: str | None = None) -> Any:
        content = None if body is None else json.dumps(body)
        try:
            answer = client.request(method, path, content=content)
        except httpx.HTTPError as error:
            raise FlinkUnreachableError(f"no answer from the SQL gateway at {self._url}; is it up?") from error
        try:
            found = answer.json() if answer.content else {}
        except ValueError:
            found = {}
        if answer.is_error:
            what = _head(about) if about else f"{method} {path.rsplit('/', 1)[-1]}"
            raise FlinkError(f"the SQL gateway refuses {what}: {reason_of(found) or answer.text[:500]}")
        return found


def gateway_way(submitter: Submitter, digest: str, url: str | None) -> Way | None:
    """Return the way of a submitter's current job through a gateway, None where no gateway is named.

    Raises:
        FlinkUnreachableError: It does not answer; better known before a job has made room.
        PlanError: The job writes in transactions.
    """
    if url is None:
        return None
    wanted = submitter.planner.wanted()
    if wanted.transactional:
        # Its writers have other numbers than those of any other job, which could not commit what a checkpoint holds.
        raise PlanError("exactly-once does not go by a SQL gateway; submit without --gateway")
    gateway = Gateway(url, wanted, submitter.plans.functions_jar(digest))
    gateway.check()
    return gateway.submit


def _head(text: str) -> str:
    lines: Iterable[str] = (line for line in text.splitlines() if line not in ("BEGIN", "EXECUTE STATEMENT SET"))
    return next(iter(lines), text)[:80]
