"""Owns the conversation with a Flink cluster over its REST interface.

Must never know filters or plans. Facts: Flink 2.2 REST API.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

TERMINAL: Final = frozenset({"FAILED", "CANCELED", "FINISHED"})
_POLL_SECONDS: Final = 0.05


class FlinkError(RuntimeError):
    """Say that the cluster refuses a request, with its reason."""


class FlinkUnreachableError(FlinkError):
    """Say that the cluster does not answer; trying again may help."""


class FlinkUnknownJobError(FlinkError):
    """Say that the cluster knows no such job, or no longer."""


@dataclass(frozen=True, slots=True)
class Job:
    """Describe one job that the cluster knows.

    Attributes:
        id: 32 hex digits.
        name: As submitted.
        state: Flink's job status, such as RUNNING.
        tasks: How many tasks it has.
        running: How many of them run.
    """

    id: str
    name: str
    state: str
    tasks: int
    running: int

    @property
    def ended(self) -> bool:
        """Return True when it will never run again."""
        return self.state in TERMINAL

    @property
    def runs_whole(self) -> bool:
        """Return True when every task runs; a job is RUNNING for Flink long before that."""
        return self.state == "RUNNING" and self.tasks > 0 and self.running == self.tasks


@dataclass(frozen=True, slots=True)
class CompletedCheckpoint:
    """Name one completed checkpoint: its number, path and when it was triggered (epoch milliseconds)."""

    number: int
    path: str
    triggered_ms: int


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Tell of the checkpoints of a job: the newest completed one, and how many failed since, of the last ten."""

    newest: CompletedCheckpoint | None
    failed: int


class FlinkRest:
    """Talk to one cluster; close it after use."""

    def __init__(self, url: str, *, timeout: float = 10) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout)
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def incarnation(self) -> str:
        """Return a text that stays the same for the life of one JobManager process and no longer."""
        entries = {entry["key"]: entry["value"] for entry in self._get("/jobmanager/config")}
        # The JobManager gives itself a folder with a random name when it starts.
        return str(entries.get("web.tmpdir") or entries)

    def class_path(self) -> frozenset[str]:
        """Return the file names of the archives that the cluster's own class path holds."""
        return frozenset(str(path).rsplit("/", 1)[-1] for path in self._get("/jobmanager/environment")["classpath"])

    def jobs(self) -> tuple[Job, ...]:
        """Return every job the cluster remembers, newest first."""
        entries = sorted(self._get("/jobs/overview")["jobs"], key=lambda entry: -int(entry["start-time"]))
        return tuple(
            Job(each["jid"], each["name"], each["state"], each["tasks"]["total"], each["tasks"]["running"])
            for each in entries
        )

    def submit(self, plan: bytes, jars: Mapping[str, bytes]) -> str:
        """Hand a serialised job over and return its id.

        Args:
            plan: A serialised JobGraph.
            jars: Archives that go along, by file name.

        Raises:
            FlinkError: The cluster refuses it.
            FlinkUnreachableError: It is not known whether the cluster has taken it.
        """
        request = {"jobGraphFileName": "plan", "jobJarFileNames": list(jars), "jobArtifactFileNames": []}
        files: list[tuple[str, tuple[str | None, bytes, str]]] = [
            ("request", (None, json.dumps(request).encode(), "application/json")),
            ("file_0", ("plan", plan, "application/octet-stream")),
            *(
                (f"file_{number}", (name, body, "application/java-archive"))
                for number, (name, body) in enumerate(jars.items(), 1)
            ),
        ]
        answer = self._call("POST", "/jobs", files=files, timeout=60)
        return str(answer["jobUrl"]).rsplit("/", 1)[-1]

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job; its checkpoints stay."""
        self._call("PATCH", f"/jobs/{job_id}", params={"mode": "cancel"})

    def trigger_checkpoint(self, job_id: str) -> str:
        """Ask for a checkpoint now; return the request's id for `checkpoint_made`."""
        return str(self._call("POST", f"/jobs/{job_id}/checkpoints", json={})["request-id"])

    def checkpoint_made(self, job_id: str, request_id: str) -> bool | None:
        """Tell whether a request has given a checkpoint, None while it runs.

        Not cached, unlike the job's statistics. An ended request is COMPLETED for Flink whatever its outcome.
        """
        answer = self._get(f"/jobs/{job_id}/checkpoints/{request_id}")
        if answer["status"]["id"] != "COMPLETED":
            return None
        return "checkpointId" in (answer.get("operation") or {})

    def take_checkpoint(self, job_id: str, seconds: float) -> bool:
        """Take a checkpoint and wait for it; return whether there is one now.

        A request may end without a checkpoint, for example beside a periodic one: then it is made again.

        Raises:
            FlinkError: The job takes none, or the cluster does not answer.
        """
        deadline = time.monotonic() + seconds
        request: str | None = None
        while time.monotonic() < deadline:
            if request is None:
                request = self.trigger_checkpoint(job_id)
            made = self.checkpoint_made(job_id, request)
            if made:
                return True
            if made is False:
                request = None
            time.sleep(_POLL_SECONDS)
        return False

    def stop(self, job_id: str, folder: str) -> str:
        """Ask a job to end after a savepoint below a folder (URI); return the request's id for `savepoint_made`.

        It ends only when the savepoint is complete and its effects are done, and reads nothing behind it.
        """
        return str(self._call("POST", f"/jobs/{job_id}/stop", json={"targetDirectory": folder})["request-id"])

    def trigger_savepoint(self, job_id: str, folder: str | None) -> str:
        """Ask for a savepoint of a job that goes on, below a folder (URI) or where the cluster keeps its own."""
        body = {} if folder is None else {"target-directory": folder}
        return str(self._call("POST", f"/jobs/{job_id}/savepoints", json=body)["request-id"])

    def savepoint_made(self, job_id: str, request_id: str) -> str | None:
        """Return where the savepoint of a request is, None while it is being made.

        Raises:
            FlinkError: It came to nothing; the message has Flink's root cause.
        """
        answer = self._get(f"/jobs/{job_id}/savepoints/{request_id}")
        if answer["status"]["id"] != "COMPLETED":
            return None
        found = answer.get("operation") or {}
        if "location" not in found:
            trace = str((found.get("failure-cause") or {}).get("stack-trace", ""))
            raise FlinkError(f"no savepoint of job {job_id}: {_root_cause(trace) or 'Flink gives no reason'}")
        return str(found["location"])

    def wait_for_savepoint(self, job_id: str, request_id: str, seconds: float) -> str:
        """Wait for the savepoint of a request and return where it is.

        Raises:
            FlinkError: It came to nothing, or not within that time.
        """
        deadline = time.monotonic() + seconds
        while (found := self.savepoint_made(job_id, request_id)) is None:
            if time.monotonic() >= deadline:
                raise FlinkError(f"no savepoint of job {job_id} within {seconds:g} s; see the Flink web page")
            time.sleep(_POLL_SECONDS)
        return found

    def newest_checkpoint(self, job_id: str) -> CompletedCheckpoint | None:
        """Return the newest completed checkpoint of a job, None also for a job that is not known any more."""
        return self.checkpoints(job_id).newest

    def checkpoints(self, job_id: str) -> Checkpoints:
        """Return how a job does with its checkpoints; nothing of one that is not known any more."""
        try:
            answer = self._get(f"/jobs/{job_id}/checkpoints")
        except FlinkUnknownJobError:
            return Checkpoints(None, 0)
        found = (answer.get("latest") or {}).get("completed")
        newest = CompletedCheckpoint(found["id"], found["external_path"], found["trigger_timestamp"]) if found else None
        last = newest.number if newest else 0
        failed = [each for each in answer.get("history", ()) if each["status"] == "FAILED" and each["id"] > last]
        return Checkpoints(newest, len(failed))

    def restarts(self, job_id: str) -> int:
        """Return how often a job was started again after a failure, since it was submitted."""
        found = self._get(f"/jobs/{job_id}/metrics", params={"get": "numRestarts"})
        return int(found[0]["value"]) if found else 0

    def failure(self, job_id: str) -> str | None:
        """Return the cause of the newest failure of a job: the last «Caused by» of its trace."""
        try:
            history = self._get(f"/jobs/{job_id}/exceptions", params={"maxExceptions": 1})["exceptionHistory"]
        except FlinkUnknownJobError:
            return None
        entries = history["entries"]
        if not entries:
            return None
        return _root_cause(str(entries[0]["stacktrace"])) or str(entries[0]["exceptionName"])

    def sum_of_metrics(self, job_id: str, prefix: str, suffix: str) -> int:
        """Return the sum, over all tasks of a job, of the counters whose name starts and ends like this."""
        total = 0
        for vertex in self._get(f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            names = [str(entry["id"]) for entry in self._get(path)]
            wanted = [name for name in names if name.startswith(prefix) and name.endswith(suffix)]
            if wanted:
                values = self._get(path, params={"get": ",".join(wanted), "agg": "sum"})
                total += sum(int(entry["sum"]) for entry in values)
        return total

    def _get(self, path: str, **options: Any) -> Any:
        return self._call("GET", path, **options)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise FlinkUnreachableError(f"no answer from Flink at {self._url}; is the cluster up?") from error
        try:
            body = answer.json() if answer.content else {}
        except ValueError:
            body = {}
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            # The JobManager listens before it leads.
            raise FlinkUnreachableError(f"Flink at {self._url} is starting")
        if answer.is_error:
            reason = reason_of(body) or answer.text[:500]
            if "UnavailableDispatcherOperationException" in reason:
                # The job is being set up; in a moment the question has an answer.
                raise FlinkUnreachableError(f"Flink at {self._url} is not ready for {method} {path}")
            kind = FlinkUnknownJobError if answer.status_code == httpx.codes.NOT_FOUND else FlinkError
            raise kind(f"Flink refuses {method} {path}: {reason}")
        return body


def reason_of(body: object) -> str | None:
    """Return what an error answer says: its first text, and the root cause of the trace that may follow."""
    errors = body.get("errors") if isinstance(body, dict) else None
    if not errors:
        return None
    trace = "\n".join(str(each) for each in errors[1:]).replace("<Exception on server side:", "")
    return " ".join(filter(None, (str(errors[0]).splitlines()[0], _root_cause(trace))))


def _root_cause(trace: str) -> str | None:
    """Return the last «Caused by» of a Java trace, or its first line."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return causes[-1] if causes else next(iter(lines), None)
