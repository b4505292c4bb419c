"""What is said to a SQL gateway, and what its answers are made into."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from flink_jobs import FilterSet, Places, statements
from flink_jobs.gateway import Gateway
from flink_jobs.plan import Blueprint, Plan
from flink_jobs.rest import FlinkError, FlinkUnreachableError

PLAN = Plan("d", "job", b"", b"", b"")
JOB = "0" * 32


@pytest.fixture
def talk(
    monkeypatch: pytest.MonkeyPatch, filters: Callable[..., FilterSet]
) -> Callable[[Callable[[httpx.Request], httpx.Response]], Gateway]:
    """Make a gateway that answers like this; its job is that of one filter."""

    def make(answer: Callable[[httpx.Request], httpx.Response]) -> Gateway:
        parts = statements(filters(), Places("broker:1"))
        blueprint = Blueprint("job", {"parallelism.default": "2"}, parts, ("/jars/kafka.jar",))
        made = Gateway("http://gateway/", blueprint, Path("/plans/d/functions.jar"))
        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(made, "_client", lambda: httpx.Client(base_url="http://gateway", transport=transport))
        return made

    return make


def test_the_script_goes_in_one_session_and_the_inserts_as_one_statement(talk: Any) -> None:
    """Archives, definitions, the set; under the job's id, and the session is closed (FL-48, FL-58)."""
    said: list[tuple[str, str, dict[str, Any]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        said.append((request.method, request.url.path, json.loads(request.content or b"{}")))
        body = {"sessionHandle": "s", "operationHandle": "o", "status": "FINISHED"}
        return httpx.Response(200, json=body)

    talk(answer).submit(PLAN, JOB, "file:///not/used")
    assert said[0][2]["properties"] == {"parallelism.default": "2", "$internal.pipeline.job-id": JOB}
    texts = [body["statement"] for method, path, body in said if (method, path) == ("POST", "/sessions/s/statements")]
    assert texts[:2] == ["ADD JAR '/jars/kafka.jar'", "ADD JAR '/plans/d/functions.jar'"]
    assert texts[2].startswith("CREATE TABLE `raw-event-headers-bytes`")
    assert texts[-1].startswith("EXECUTE STATEMENT SET\nBEGIN\nINSERT INTO `filtered-events`")
    assert [text.startswith("EXECUTE") for text in texts].count(True) == 1
    assert said[-1][:2] == ("DELETE", "/sessions/s")


def test_what_is_refused_is_told_with_the_statement_and_the_root_cause(talk: Any) -> None:
    """An operation that failed tells why only where its result is asked for."""
    trace = "org.apache.flink.SqlException: no\nCaused by: java.io.FileNotFoundException: /jars/kafka.jar\n\tat x"
    closed: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            closed.append(request.url.path)
        if request.url.path.endswith("/result/0"):
            return httpx.Response(500, json={"errors": ["Internal server error.", trace]})
        return httpx.Response(200, json={"sessionHandle": "s", "operationHandle": "o", "status": "ERROR"})

    with pytest.raises(FlinkError, match=r"refuses ADD JAR '/jars/kafka.jar': .*FileNotFoundException"):
        talk(answer).submit(PLAN, JOB, None)
    assert closed == ["/sessions/s"]


def test_a_gateway_that_is_gone_is_told_by_its_address(talk: Any) -> None:
    """Before a job has made room for the new one."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(FlinkUnreachableError, match="no answer from the SQL gateway at http://gateway;"):
        talk(refuse).check()
