"""Starts and ends: of instances, and of the service with all of them."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import psycopg
import pytest

import schemas
from tests.integration.lambdas.conftest import sample
from tests.waiting import eventually


def running(pids: list[int]) -> list[int]:
    """Return those that run, zombies too."""
    return [pid for pid in pids if psutil.pid_exists(pid)]


def test_killing_the_service_leaves_no_instance(start: Any, tmp_path: Any) -> None:
    """Idle and busy ones end with it, however it ends."""
    service = start({"sample": sample(), "other": sample()})
    service.invoke({}, "other")
    with ThreadPoolExecutor() as threads:
        # One that still starts would end by itself: it finds no Runtime API.
        began = tmp_path / "began"
        call = threads.submit(service.invoke, {"do": "sleep", "began": str(began)})
        eventually(began.exists, "the call is under way")
        pids = [child.pid for child in service.children()]
        assert len(pids) == 2
        service.process.kill()
        service.process.wait(10)
        assert call.exception(10) is not None
    eventually(lambda: not running(pids), "no instance is left", 10)


def test_an_orderly_stop_lets_calls_end(start: Any, tmp_path: Any) -> None:
    """A call under way is answered, new ones are refused, and every process is gone."""
    service = start({"sample": sample()}, grace_seconds=20)
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as threads:
        call = threads.submit(service.invoke, {"do": "sleep", "until": str(gate)})
        eventually(lambda: service.counts()["busy"] == 1, "the call is under way")
        pids = [child.pid for child in service.children()]
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: _refused(service), "new calls are refused")
        gate.touch()
        assert call.result(10)["value"] == pids[0]
    assert service.process.wait(20) == 0
    assert not running(pids)


def _refused(service: Any) -> bool:
    answer = httpx.post(f"{service.url}/2015-03-31/functions/sample/invocations", content=b"{}")
    return answer.status_code == 500 and answer.headers["x-amzn-errortype"] == "ServiceException"


def test_a_stop_does_not_wait_for_ever(start: Any) -> None:
    """What does not end within the grace is killed, and its caller is told."""
    service = start({"sample": sample()}, grace_seconds=0.2)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(service.invoke, {"do": "sleep"})
        eventually(lambda: service.counts()["busy"] == 1, "the call is under way")
        service.process.send_signal(signal.SIGTERM)
        assert call.result(10)["value"]["errorType"] == "Runtime.ExitError"
    assert service.process.wait(10) == 0


def test_a_kill_takes_what_the_function_has_started(start: Any) -> None:
    """An instance is ended with its own children."""
    service = start({"sample": sample()}, idle_seconds=0.2)
    instance, child = service.invoke({"do": "child"})["value"]
    eventually(lambda: not running([instance]), "the idle instance is ended", 10)
    eventually(lambda: not running([child]) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE, "its child too")


def test_idle_instances_are_ended(start: Any) -> None:
    """After their time, without a zombie; the next call is a cold start."""
    service = start({"sample": sample()}, idle_seconds=0.2)
    first = service.invoke({})["value"]["pid"]
    eventually(lambda: service.counts() == {"busy": 0, "idle": 0}, "none is left", 10)
    assert service.children() == []
    assert service.invoke({})["value"]["pid"] != first


def test_an_idle_function_makes_room_for_another(start: Any, tmp_path: Any) -> None:
    """At the limit of all together; with nothing idle the call is throttled."""
    service = start({"sample": sample(), "other": sample()}, concurrency=1)
    service.invoke({})
    assert "FunctionError" not in service.invoke({}, "other")
    assert service.counts() == {"busy": 0, "idle": 0}
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as threads:
        call = threads.submit(service.invoke, {"do": "sleep", "until": str(gate)})
        eventually(lambda: service.counts()["busy"] == 1, "the call is under way")
        with pytest.raises(service.client.exceptions.TooManyRequestsException) as raised:
            service.invoke({}, "other")
        gate.touch()
        call.result()
    assert raised.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"


def test_a_full_queue_takes_no_event(start: Any, tmp_path: Any) -> None:
    """The caller is throttled, and what is queued when the service stops is counted in its log."""
    service = start({"sample": sample()}, queue_limit=1, grace_seconds=0)
    began = tmp_path / "began"
    service.invoke({"do": "sleep", "began": str(began)}, InvocationType="Event")
    with pytest.raises(service.client.exceptions.TooManyRequestsException):
        service.invoke({}, InvocationType="Event")
    eventually(began.exists, "the first one runs")
    service.close()
    assert [line["count"] for line in service.logged("events_lost")] == [1]


def test_a_start_that_takes_too_long_is_ended(start: Any, tmp_path: Any) -> None:
    """The caller is told, and no process stays."""
    (tmp_path / "slow.py").write_text("import signal\nsignal.pause()\n")
    service = start({"slow": {"handler": "slow.handler", "code": str(tmp_path)}}, init_seconds=0.5)
    answer = service.invoke({}, "slow")
    assert answer["value"]["errorMessage"].endswith("Task timed out after 0.50 seconds")
    eventually(lambda: service.children() == [], "no process is left")


def test_no_variable_of_a_function_is_logged(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the finest level, through calls and failures; one of them comes from the service's own environment."""
    monkeypatch.setenv("PGPASSWORD", "hidden-in-the-environment")
    function = sample(environment={"GREETING": "hidden-in-the-file"}, environment_from=["PGPASSWORD"])
    service = start({"sample": function}, log_level="debug")
    value = service.invoke({})["value"]
    assert value["greeting"] == "hidden-in-the-file"
    assert "PGPASSWORD" in value["variables"]
    service.invoke({"do": "raise", "message": "m"})
    service.invoke({"do": "kill"})
    service.close()
    assert len(service.logged("invocation")) == 3
    assert "hidden" not in service.log.read_text()


def test_a_wrong_configuration_is_named_without_its_values(tmp_path: Any) -> None:
    """Exit status 2, the setting and what to do; no value of an environment."""
    file = tmp_path / "lambdas.toml"
    file.write_text('[functions.a]\nhandler = "nothing"\nenvironment = { AWS_LAMBDA_X = "hidden", B = "hidden" }\n')
    done = subprocess.run(
        [sys.executable, "-m", "stack.lambdas", "--config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "functions.a.handler" in done.stderr
    assert "AWS_LAMBDA_X: reserved" in done.stderr
    assert "hidden" not in done.stderr + done.stdout


def test_a_port_that_is_taken_is_named(start: Any) -> None:
    """Exit status 1, and what to set."""
    service = start({"sample": sample()})
    command = [sys.executable, "-m", "stack.lambdas", "--config", str(service.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"cannot listen at 127.0.0.1:{service.port}: Address already in use; set another port" in done.stderr


def test_the_producer_runs_as_a_function(start: Any, database_url: str) -> None:
    """The handler that is packaged for AWS: an event by the SDK is rows in PostgreSQL (LC-1, LC-8)."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(schemas.postgres_sql().encode())
        service = start(
            {
                "producer": {
                    "handler": "producer.lambda_handler.handler",
                    "timeout_seconds": 30,
                    "memory_mb": 256,
                    "environment": {"DATABASE_URL": database_url},
                }
            }
        )
        request = {
            "version": "2.0",
            "requestContext": {"http": {"method": "POST", "path": "/api/v1/events"}},
            "body": json.dumps(schemas.samples()["car-created"]),
        }
        answers = [service.invoke(request, "producer")["value"] for _ in range(2)]
        assert [answer["statusCode"] for answer in answers] == [200, 409]
        assert connection.execute("SELECT count(*) FROM event_headers").fetchone() == (1,)
    assert service.counts("producer") == {"busy": 0, "idle": 1}
