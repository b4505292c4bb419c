"""The Invoke API as the AWS SDK calls it, over real processes of the runtime interface client."""

import json
import statistics
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.waiting import eventually, within

ARN = "arn:aws:lambda:us-east-1:000000000000:function:sample"


def refused(call: Callable[[], Any]) -> tuple[int, str, str]:
    """Return status, name and message of the error that the SDK raises."""
    with pytest.raises(ClientError) as raised:
        call()
    answer = raised.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def test_a_warm_instance_is_used_again(service: Any) -> None:
    """One process answers one call after the other (issue 7, item 1)."""
    first, second = service.invoke({"n": 1}), service.invoke({"n": 2})
    assert (first["StatusCode"], first["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in first
    assert second["value"]["event"] == {"n": 2}
    assert second["value"]["pid"] == first["value"]["pid"]
    assert second["value"]["times"] == first["value"]["times"] + 1


def test_a_warm_call_takes_milliseconds(service: Any, record_property: Any) -> None:
    """No wait of 40 ms for an acknowledgement anywhere on the way (design: about 1 ms)."""
    taken = []
    with httpx.Client() as caller:
        for _ in range(100):
            began = time.perf_counter()
            caller.post(f"{service.url}/2015-03-31/functions/sample/invocations", content=b"{}").raise_for_status()
            taken.append((time.perf_counter() - began) * 1000)
    record_property("figure", f"a warm Lambda call takes {statistics.median(taken):.2f} ms")
    assert statistics.median(taken) < 25


def test_the_context_is_the_calls_own(service: Any) -> None:
    """Request id, deadline, memory size, ARN and client context reach the function."""
    context = b64encode(json.dumps({"custom": {"from": "ü"}}).encode()).decode()
    answer = service.invoke({}, ClientContext=context)
    value = answer["value"]
    assert value["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert 25_000 < value["remaining"] <= 30_000
    assert (value["memory"], value["arn"], value["context"]) == ("128", ARN, {"from": "ü"})


def test_a_call_without_payload_is_an_empty_event(service: Any) -> None:
    """As on AWS."""
    assert service.invoke()["value"]["event"] == {}


def test_a_function_sees_its_own_variables_only(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the configuration and of the runtime; nothing of the service's own environment."""
    value = service.invoke({})["value"]
    assert value["greeting"] == "hello"
    assert "AWS_LAMBDA_FUNCTION_NAME" in value["variables"]
    assert not {"HOME", "HEADWATER_TEST_RUN", "VIRTUAL_ENV"} & set(value["variables"])


def test_a_raised_error_comes_with_type_and_trace(service: Any) -> None:
    """The body that a caller sees on AWS, and the same instance goes on."""
    before = service.invoke({})["value"]["pid"]
    answer = service.invoke({"do": "raise", "message": "no such car"})
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert (answer["value"]["errorType"], answer["value"]["errorMessage"]) == ("ValueError", "no such car")
    assert any("_raise" in line for line in answer["value"]["stackTrace"])
    assert service.invoke({})["value"]["pid"] == before


def test_the_log_is_its_last_four_kilobytes(service: Any) -> None:
    """All that the function has written until it answered, and the lines of the service (LC-91)."""
    short = b64decode(service.invoke({"do": "log", "lines": 3}, LogType="Tail")["LogResult"]).decode()
    lines = short.splitlines()
    assert lines[0].startswith("START RequestId: ")
    assert lines[1:6] == ["doing log", "line 0", "line 1", "line 2", "to standard error"]
    assert "Memory Size: 128 MB" in lines[-1]
    long = b64decode(service.invoke({"do": "log", "lines": 5000}, LogType="Tail")["LogResult"])
    assert len(long) == 4096
    assert b"line 4999\n" in long
    assert "LogResult" not in service.invoke({})


def test_a_function_out_of_time_is_killed(service: Any) -> None:
    """The error names the time, the process is gone, and the next call starts another."""
    before = service.invoke({}, "hasty")["value"]["pid"]
    answer = service.invoke({"do": "sleep"}, "hasty", LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    assert answer["value"]["errorType"] == "Sandbox.Timedout"
    assert answer["value"]["errorMessage"].endswith("Error: Task timed out after 0.50 seconds")
    assert "Task timed out after 0.50 seconds" in b64decode(answer["LogResult"]).decode()
    assert before not in [child.pid for child in service.children()]
    after = service.invoke({}, "hasty")["value"]
    assert (after["pid"] != before, after["times"]) == (True, 1)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"do": "exit", "code": 3}, "Runtime exited with error: exit status 3"),
        ({"do": "exit", "code": 0}, "Runtime exited without providing a reason"),
        ({"do": "kill"}, "Runtime exited with error: signal: killed"),
    ],
)
def test_a_process_that_ends_in_the_middle_is_an_error(service: Any, event: dict[str, Any], why: str) -> None:
    """The caller is told how it ended, at once, and the next call starts another process."""
    before = service.invoke({})["value"]["pid"]
    answer = service.invoke(event)
    assert (answer["FunctionError"], answer["value"]["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert answer["value"]["errorMessage"].endswith(why)
    assert service.invoke({})["value"]["pid"] != before


def test_an_idle_instance_that_is_killed_is_replaced(service: Any) -> None:
    """No call is given to a process that is gone."""
    idle = service.invoke({})["value"]["pid"]
    next(child for child in service.children() if child.pid == idle).kill()
    eventually(lambda: idle not in [child.pid for child in service.children()], "its end is noticed")
    answer = service.invoke({})
    assert "FunctionError" not in answer
    assert answer["value"]["pid"] != idle


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [("broken", "ValueError", "no DATABASE_URL"), ("missing", "Runtime.HandlerNotFound", "nothing")],
)
def test_a_failed_start_is_the_answer(service: Any, function: str, error: str, text: str) -> None:
    """What the runtime reports of its initialisation, on every call."""
    for _ in range(2):
        answer = service.invoke({}, function)
        assert (answer["FunctionError"], answer["value"]["errorType"]) == ("Unhandled", error)
        assert text in answer["value"]["errorMessage"]


def test_a_function_that_outgrows_its_memory_is_killed(service: Any) -> None:
    """By the resident memory of its process."""
    answer = service.invoke({"do": "fill", "megabytes": 160})
    assert (answer["FunctionError"], answer["value"]["errorType"]) == ("Unhandled", "Runtime.OutOfMemory")
    assert answer["value"]["errorMessage"].endswith("signal: killed")


def test_a_function_that_grows_by_small_calls_is_replaced(service: Any) -> None:
    """Also when no single call is looked at while it runs."""
    answers = [service.invoke({"do": "keep", "megabytes": 10}, "growing") for _ in range(24)]
    assert len({answer["value"] for answer in answers if "FunctionError" not in answer}) >= 2
    assert service.logged("instance_outgrown") or any("FunctionError" in answer for answer in answers)


def test_one_call_too_many_is_throttled(service: Any, tmp_path: Any) -> None:
    """Above the function's concurrency the SDK raises TooManyRequestsException; then it goes on."""
    gate = tmp_path / "gate"
    with ThreadPoolExecutor() as threads:
        first = threads.submit(service.invoke, {"do": "sleep", "until": str(gate)}, "single")
        eventually(lambda: service.counts("single")["busy"] == 1, "the first one runs")
        with pytest.raises(service.client.exceptions.TooManyRequestsException) as raised:
            service.invoke({}, "single")
        gate.touch()
        pid = first.result()["value"]
    assert raised.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert service.invoke({}, "single")["value"]["pid"] == pid


def test_sixteen_sessions_at_once_get_their_own_answers(service: Any) -> None:
    """No answer goes to another call, and no more instances run than there are callers."""

    def session(number: int) -> list[Any]:
        return [service.invoke({"session": number, "n": n})["value"]["event"] for n in range(25)]

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(session, range(16)))
    assert answers == [[{"session": number, "n": n} for n in range(25)] for number in range(16)]
    counts = service.counts()
    assert counts["busy"] == 0
    assert counts["idle"] <= 16


def test_an_event_is_run_once(service: Any, tmp_path: Any) -> None:
    """202 and no body at once; the function runs after that."""
    file = tmp_path / "done"
    answer = service.invoke({"do": "count", "file": str(file)}, InvocationType="Event")
    assert (answer["StatusCode"], answer["value"]) == (202, None)
    eventually(file.exists, "it has run")
    assert file.read_text().split() == [answer["ResponseMetadata"]["RequestId"]]


def test_a_failing_event_is_tried_twice_more(service: Any, tmp_path: Any) -> None:
    """Under the same request id; then it is given up, with a line in the log."""
    file = tmp_path / "failing"
    answer = service.invoke({"do": "count", "file": str(file)}, InvocationType="Event")
    request_id = answer["ResponseMetadata"]["RequestId"]
    given_up = eventually(
        lambda: [line for line in service.logged("event_failed") if line["request_id"] == request_id], "given up"
    )
    assert file.read_text().split() == [request_id] * 3
    assert (given_up[0]["tries"], given_up[0]["error"]) == (3, "RuntimeError")


def test_events_wait_for_a_throttled_function(service: Any, tmp_path: Any) -> None:
    """None is lost when more come than may run."""
    file = tmp_path / "many"
    sent = [
        service.invoke({"do": "count", "file": str(file)}, "single", InvocationType="Event")["ResponseMetadata"]
        for _ in range(20)
    ]
    within(lambda: file.exists() and len(file.read_text().split()) == 20, 60)
    ran = file.read_text().split() if file.exists() else []
    told = service.logged("event_retried") + service.logged("event_failed")
    assert sorted(ran) == sorted(each["RequestId"] for each in sent), (told, service.counts("single"))


def test_a_dry_run_runs_nothing(service: Any, tmp_path: Any) -> None:
    """204, and the function is not called (LC-98a)."""
    before = service.invoke({})["value"]["times"]
    answer = service.invoke({}, InvocationType="DryRun")
    assert (answer["StatusCode"], answer["value"]) == (204, None)
    assert service.invoke({})["value"]["times"] == before + 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sample:$LATEST", {}),
        ("000000000000:function:sample", {}),
        (ARN, {}),
        (f"{ARN}:live", {}),
        ("sample", {"Qualifier": "live"}),
    ],
)
def test_a_function_goes_by_name_and_arn(service: Any, name: str, options: dict[str, str]) -> None:
    """Whole, partial, and with a qualifier (LC-91, LC-98a)."""
    assert service.invoke({}, name, **options)["value"]["arn"] == ARN


def test_what_cannot_be_called_is_refused_as_aws_does(service: Any) -> None:
    """The SDK raises the exception of its name."""
    status, code, message = refused(lambda: service.invoke({}, "nobody"))
    assert (status, code) == (404, "ResourceNotFoundException")
    assert message == "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nobody"
    status, code, message = refused(lambda: service.client.invoke(FunctionName="sample", Payload=b'{"secret": "s'))
    assert (status, code) == (400, "InvalidRequestContentException")
    assert message.startswith("Could not parse request body into json: ")
    assert "secret" not in message
    status, code, _ = refused(lambda: service.invoke({}, "sample:a", Qualifier="b"))
    assert (status, code) == (400, "InvalidParameterValueException")
    status, code, _ = refused(lambda: service.invoke({}, InvocationType="Later"))
    assert (status, code) == (400, "InvalidParameterValueException")


def test_payloads_go_up_to_the_limits_of_aws(service: Any) -> None:
    """6 MB, for an event 1 MB; one byte more is refused."""
    sync, event = 6 * 1024 * 1024, 1024 * 1024
    for limit, kind in ((sync, "RequestResponse"), (event, "Event")):
        largest = json.dumps({"do": "log", "lines": 0, "x": ""}).encode()
        largest = largest.replace(b'""', b'"' + b"x" * (limit - len(largest)) + b'"')
        assert len(largest) == limit
        answer = service.client.invoke(FunctionName="sample", Payload=largest, InvocationType=kind)
        assert (answer["StatusCode"], answer.get("FunctionError")) == (202 if kind == "Event" else 200, None)
        answer["Payload"].close()
        status, code, message = refused(
            lambda kind=kind, largest=largest: service.client.invoke(
                FunctionName="sample", Payload=largest + b" ", InvocationType=kind
            )
        )
        assert (status, code) == (413, "RequestTooLargeException")
        assert str(limit) in message


def test_a_response_goes_up_to_the_limit_of_aws(service: Any) -> None:
    """Six megabytes come back whole; a longer one is an error, and the next call works."""
    assert len(service.invoke({"do": "size", "bytes": 6_291_000})["value"]) == 6_291_000
    answer = service.invoke({"do": "size", "bytes": 6_291_556})
    assert (answer["FunctionError"], answer["value"]["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")
    assert "FunctionError" not in service.invoke({})


def test_functions_are_described_without_their_environment(service: Any) -> None:
    """GetFunction, GetFunctionConfiguration and ListFunctions, as tools ask for them."""
    described = service.client.get_function(FunctionName="single")
    assert described["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    assert described["Configuration"]["Handler"] == "sample.handler"
    configuration = service.client.get_function_configuration(FunctionName="sample")
    assert (configuration["FunctionArn"], configuration["MemorySize"], configuration["Timeout"]) == (ARN, 128, 30)
    assert "hello" not in json.dumps(configuration, default=str)
    listed = [each["FunctionName"] for each in service.client.list_functions()["Functions"]]
    assert listed == ["sample", "growing", "hasty", "single", "broken", "missing"]
    assert refused(lambda: service.client.get_function(FunctionName="nobody"))[:2] == (404, "ResourceNotFoundException")
