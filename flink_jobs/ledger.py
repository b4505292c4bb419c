"""Owns the list of what this stage has handed to the cluster: submissions, ends, and ends that are only a pause.

The cluster forgets an ended job after an hour, and all of them when it restarts; the ledger does not. Must never ask
the cluster.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

LEDGER_FILE: Final = "submissions.jsonl"
"""Where the ledger lies in the plan folder."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Record that a job was handed to the cluster.

    Attributes:
        job_id: The id it was given.
        digest: The plan.
        checkpoint: The checkpoint or savepoint it was to start from, as a URI, or None.
        incarnation: The life of the JobManager it was given to.
        transactional: Whether it writes in transactions.
    """

    job_id: str
    digest: str
    checkpoint: str | None
    incarnation: str
    transactional: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Record that a job has ended, and in which of Flink's terminal states."""

    job_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Record that we are about to end a job, written before the cluster is asked; the newest of a job counts.

    Attributes:
        job_id: The job.
        goes_on: Whether another is to go on from where it ends: then its end is a pause, whoever dies in it.
    """

    job_id: str
    goes_on: bool


Entry = Submission | End | Stop


class Ledger:
    """Keep the list, so that it is known which jobs and checkpoints are ours, and which ends are somebody's wish.

    Args:
        file: One JSON object a line; a torn last line is passed over.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, entry: Entry) -> None:
        """Write something down, on the disk before this returns; a submission before the cluster is asked."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as file:
            # The newline comes first, so that a line torn by a crash spoils no other.
            file.write("\n" + json.dumps(asdict(entry)))
            file.flush()
            os.fsync(file.fileno())

    def submissions(self) -> list[Submission]:
        """Return every submission, oldest first."""
        return [entry for entry in self._entries() if isinstance(entry, Submission)]

    def ends(self) -> dict[str, str]:
        """Map the id of every job that is known to have ended to its last state."""
        return {entry.job_id: entry.state for entry in self._entries() if isinstance(entry, End)}

    def job_ids(self) -> frozenset[str]:
        """Return the id of every job that was ours, also of one that somebody else submitted and we have ended."""
        return frozenset(entry.job_id for entry in self._entries() if isinstance(entry, Submission | Stop))

    def goes_on(self, job_id: str) -> bool:
        """Tell whether the end of this job is a pause of ours."""
        stops = [entry.goes_on for entry in self._entries() if isinstance(entry, Stop) and entry.job_id == job_id]
        return bool(stops) and stops[-1]

    def find(self, job_id: str) -> Submission | None:
        """Return the newest submission under a job id."""
        return next((entry for entry in reversed(self.submissions()) if entry.job_id == job_id), None)

    def _entries(self) -> list[Entry]:
        try:
            lines = self._file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [entry for line in lines if (entry := _entry(line))]


def _entry(line: str) -> Entry | None:
    try:
        body = json.loads(line) if line else {}
        kind = Submission if "digest" in body else Stop if "goes_on" in body else End
        return kind(**body)
    except (ValueError, TypeError):
        return None
