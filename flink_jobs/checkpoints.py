"""Owns what is on disk about earlier runs of the job: its complete checkpoints, and which submissions were ours.

A checkpoint is complete when its `_metadata` is there: Flink writes that last and moves it into place. Must never ask
the cluster. Facts: Flink 2.2, «Checkpoints», directory structure `<job id>/chk-<number>/_metadata`.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

LEDGER_FILE: Final = "submissions.jsonl"
"""Where the ledger lies in the plan folder."""

_CHECKPOINT = re.compile(r"chk-([0-9]+)")


def location(folder: Path) -> str:
    """Return a folder as Flink reads it: its `Path` escapes by itself, and takes `%20` for three characters."""
    return f"file://{folder}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Name one complete checkpoint on disk."""

    folder: Path
    job_id: str
    number: int
    completed_ns: int

    @property
    def uri(self) -> str:
        """Return its path as Flink takes it."""
        return location(self.folder)


def complete_checkpoints(folder: Path, job_ids: Iterable[str]) -> list[Checkpoint]:
    """Return the complete checkpoints of these jobs, newest first; half-written ones are passed over."""
    found = []
    for job_id in set(job_ids):
        for metadata in folder.joinpath(job_id).glob("chk-*/_metadata"):
            try:
                facts = metadata.stat()
            except FileNotFoundError:  # Flink removes the oldest while we look
                continue
            named = _CHECKPOINT.fullmatch(metadata.parent.name)
            if named and facts.st_size > 0:
                found.append(Checkpoint(metadata.parent, job_id, int(named[1]), facts.st_mtime_ns))
    return sorted(found, key=lambda each: (each.completed_ns, each.number), reverse=True)


def remove_checkpoints(folder: Path, job_ids: Iterable[str]) -> None:
    """Remove everything that these jobs have left, complete or not."""
    for job_id in set(job_ids):
        shutil.rmtree(folder / job_id, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Submission:
    """Record that a job was handed to the cluster.

    Attributes:
        job_id: The id it was given.
        digest: The plan.
        checkpoint: The checkpoint it was to start from, as a URI, or None.
        incarnation: The life of the JobManager it was given to.
    """

    job_id: str
    digest: str
    checkpoint: str | None
    incarnation: str


@dataclass(frozen=True, slots=True)
class End:
    """Record that a job has ended, and in which of Flink's terminal states."""

    job_id: str
    state: str


class Ledger:
    """Keep the list of submissions and of their ends, so that it is known which jobs and checkpoints are ours.

    The cluster forgets an ended job after an hour, and all of them when it restarts; the ledger does not.

    Args:
        file: One JSON object a line; a torn last line is passed over.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, entry: Submission | End) -> None:
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

    def find(self, job_id: str) -> Submission | None:
        """Return the newest submission under a job id."""
        return next((entry for entry in reversed(self.submissions()) if entry.job_id == job_id), None)

    def _entries(self) -> list[Submission | End]:
        try:
            lines = self._file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [entry for line in lines if (entry := _entry(line))]


def _entry(line: str) -> Submission | End | None:
    try:
        body = json.loads(line) if line else {}
        return Submission(**body) if "digest" in body else End(**body)
    except (ValueError, TypeError):
        return None
