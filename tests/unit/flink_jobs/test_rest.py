"""What the cluster's answers are made into; the traces are Flink's own, shortened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from flink_jobs.rest import (
    Checkpoints,
    CompletedCheckpoint,
    FlinkError,
    FlinkRest,
    FlinkUnknownJobError,
    FlinkUnreachableError,
)

TRACE = """<Exception on server side:
java.util.concurrent.CompletionException: org.apache.flink.runtime.client.JobSubmissionException: Failed to submit job.
\tat java.base/java.util.concurrent.CompletableFuture.encodeThrowable(Unknown Source)
Caused by: org.apache.flink.runtime.client.JobSubmissionException: Failed to submit job.
\tat org.apache.flink.runtime.dispatcher.Dispatcher.internalSubmitJob(Dispatcher.java:1)
Caused by: java.lang.IllegalStateException: There is no operator for the state 7a
\tat org.apache.flink.runtime.checkpoint.Checkpoints.throwNonRestoredStateException(Checkpoints.java:1)
End of exception on server side>"""
INITIALIZING = """<Exception on server side:
org.apache.flink.runtime.dispatcher.UnavailableDispatcherOperationException: Unable to get JobMasterGateway
\tat org.apache.flink.runtime.dispatcher.Dispatcher.getJobMasterGateway(Dispatcher.java:1534)"""


@contextmanager
def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Iterator[FlinkRest]:
    """Give a client whose cluster answers like this."""
    with FlinkRest("http://flink") as rest:
        rest._client.close()
        rest._client = httpx.Client(base_url="http://flink", transport=httpx.MockTransport(answer))
        yield rest


def test_a_refusal_tells_its_root_cause_and_no_trace() -> None:
    """The last «Caused by» is what is wrong; the way there is for Flink's log."""
    with (
        answering(lambda _: httpx.Response(500, json={"errors": ["Internal server error.", TRACE]})) as rest,
        pytest.raises(FlinkError) as caught,
    ):
        rest.submit(b"", {})
    assert str(caught.value) == (
        "Flink refuses POST /jobs: Internal server error."
        " java.lang.IllegalStateException: There is no operator for the state 7a"
    )


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503, json={"errors": ["Service temporarily unavailable due to an ongoing leader election."]}),
        httpx.Response(500, json={"errors": ["Internal server error.", INITIALIZING]}),
    ],
)
def test_a_cluster_or_a_job_in_the_making_is_asked_again(answer: httpx.Response) -> None:
    """Neither is a refusal: a moment later the same question has an answer."""
    with answering(lambda _: answer) as rest, pytest.raises(FlinkUnreachableError):
        rest.newest_checkpoint("a")


def test_a_cluster_that_is_gone_is_told_by_its_address() -> None:
    """The cause stays attached, the sentence names where nobody answered."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with answering(refuse) as rest, pytest.raises(FlinkUnreachableError, match="at http://flink") as caught:
        rest.jobs()
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_a_job_that_is_forgotten_has_no_checkpoint_and_no_failure() -> None:
    """The cluster forgets ended jobs; that is no error of the one who asks, except where the job is needed."""
    with answering(lambda _: httpx.Response(404, json={"errors": ["Job a not found"]})) as rest:
        assert rest.newest_checkpoint("a") is None
        assert rest.failure("a") is None
        with pytest.raises(FlinkUnknownJobError, match="Job a not found"):
            rest.cancel("a")


def test_jobs_come_newest_first_and_run_whole_only_with_every_task() -> None:
    """Flink calls a job RUNNING long before its tasks run (FL-58)."""

    def job(number: int, state: str, running: int) -> dict[str, object]:
        tasks = {"total": 2, "running": running}
        return {"jid": f"j{number}", "name": "n", "state": state, "start-time": number, "tasks": tasks}

    entries = [job(1, "FAILED", 0), job(3, "RUNNING", 2), job(2, "RUNNING", 1)]
    with answering(lambda _: httpx.Response(200, json={"jobs": entries})) as rest:
        jobs = rest.jobs()
    assert [each.id for each in jobs] == ["j3", "j2", "j1"]
    assert [each.runs_whole for each in jobs] == [True, False, False]
    assert [each.ended for each in jobs] == [False, False, True]


def test_a_checkpoint_that_came_to_nothing_is_asked_for_again() -> None:
    """A request beside a periodic one ends without a checkpoint; the next one has it."""
    requests: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            requests.append(f"r{len(requests)}")
            return httpx.Response(202, json={"request-id": requests[-1]})
        made = {"checkpointId": 7} if request.url.path.endswith("r1") else {"failureCause": {}}
        return httpx.Response(200, json={"status": {"id": "COMPLETED"}, "operation": made})

    with answering(answer) as rest:
        assert rest.take_checkpoint("a", 10)
        assert requests == ["r0", "r1"]
        assert not rest.take_checkpoint("a", 0)


def test_a_stop_gives_the_place_of_its_savepoint_or_the_reason_why_there_is_none() -> None:
    """The request is asked after until it has an end; a failure is told with its root cause (FL-73)."""
    trace = "java.lang.Exception: stopped\n\tat x\nCaused by: java.io.IOException: disk full\n\tat y"
    answers = [
        {"status": {"id": "IN_PROGRESS"}},
        {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s/savepoint-1"}},
        {"status": {"id": "COMPLETED"}, "operation": {"failure-cause": {"class": "x", "stack-trace": trace}}},
    ]
    asked: list[tuple[str, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((f"{request.method} {request.url.path}", request.content))
        if request.method == "POST":
            return httpx.Response(202, json={"request-id": "r"})
        return httpx.Response(200, json=answers.pop(0))

    with answering(answer) as rest:
        request = rest.stop("a", "file:///s/a")
        assert rest.wait_for_savepoint("a", request, 10) == "file:/s/savepoint-1"
        with pytest.raises(FlinkError, match=r"no savepoint of job a: java.io.IOException: disk full"):
            rest.wait_for_savepoint("a", rest.trigger_savepoint("a", None), 10)
    assert asked[0] == ("POST /jobs/a/stop", b'{"targetDirectory":"file:///s/a"}')
    assert asked[1][0] == "GET /jobs/a/savepoints/r"
    assert ("POST /jobs/a/savepoints", b"{}") in asked


def test_only_checkpoints_that_failed_since_the_newest_are_counted() -> None:
    """Those of the start, before every task ran, are over once one is complete."""
    history = [
        {"id": 5, "status": "FAILED"},
        {"id": 4, "status": "IN_PROGRESS"},
        {"id": 3, "status": "COMPLETED"},
        {"id": 1, "status": "FAILED"},
    ]
    completed = {"id": 3, "external_path": "file:/c/chk-3", "trigger_timestamp": 7}
    body = {"latest": {"completed": completed}, "history": history}
    with answering(lambda _: httpx.Response(200, json=body)) as rest:
        assert rest.checkpoints("a") == Checkpoints(CompletedCheckpoint(3, "file:/c/chk-3", 7), 1)
    with answering(lambda _: httpx.Response(200, json={"latest": {}, "history": history[-1:]})) as rest:
        assert rest.checkpoints("a") == Checkpoints(None, 1)
