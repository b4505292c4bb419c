"""Owns what earlier runs of the job have left on disk to start from: their complete checkpoints and savepoints.

Either is complete when its `_metadata` is there: Flink writes that last and moves it into place. Savepoints by which we
stop a job go to a folder named like the job, as checkpoints do. Must never ask the cluster.

Facts: Flink 2.2, «Checkpoints» and «Savepoints», directory structure: `<job id>/chk-<number>/_metadata`,
`savepoint-<part of the job id>-<random>/_metadata`.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flink_jobs.ledger import Ledger

_CHECKPOINT = re.compile(r"chk-([0-9]+)")
_SAVEPOINT = re.compile(r"savepoint-[0-9a-f]+-[0-9a-f]+")


def location(folder: Path) -> str:
    """Return a folder as Flink reads it: its `Path` escapes by itself, and takes `%20` for three characters."""
    return f"file://{folder}"


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Name one complete checkpoint or savepoint on disk; a savepoint has no number."""

    folder: Path
    job_id: str
    number: int | None
    completed_ns: int

    @property
    def uri(self) -> str:
        """Return its path as Flink takes it."""
        return location(self.folder)


@dataclass(frozen=True, slots=True)
class Folders:
    """Name where the cluster writes the checkpoints of our jobs, and the savepoints by which we stop them."""

    checkpoints: Path
    savepoints: Path

    def of(self, job_ids: Iterable[str]) -> list[StartPoint]:
        """Return all that is complete of these jobs, newest first; what is half-written is passed over."""
        found: list[StartPoint] = []
        for job_id in set(job_ids):
            for metadata in self.checkpoints.joinpath(job_id).glob("chk-*/_metadata"):
                if named := _CHECKPOINT.fullmatch(metadata.parent.name):
                    found += _complete(metadata, job_id, int(named[1]))
            for metadata in self.savepoints.joinpath(job_id).glob("savepoint-*/_metadata"):
                if _SAVEPOINT.fullmatch(metadata.parent.name):
                    found += _complete(metadata, job_id, None)
        return sorted(found, key=lambda each: (each.completed_ns, each.number or 0), reverse=True)

    def remove(self, job_ids: Iterable[str]) -> None:
        """Remove everything that these jobs have left, complete or not."""
        for job_id in set(job_ids):
            for folder in (self.checkpoints, self.savepoints):
                shutil.rmtree(folder / job_id, ignore_errors=True)

    def to_start_from(self, ledger: Ledger) -> list[str]:
        """Return all that a job of ours may start from, as URIs, the best first.

        That is the newest, but for a job which made none of its own: what it started from comes before what is older
        in its history and may be newer on disk, as after a `restore`.
        """
        points = self.of(ledger.job_ids())
        uris = [each.uri for each in points]
        last = next(reversed(ledger.submissions()), None)
        if last is None or last.checkpoint is None or any(each.job_id == last.job_id for each in points):
            return uris
        if not is_complete(last.checkpoint):
            return uris
        return [last.checkpoint, *(uri for uri in uris if uri != last.checkpoint)]


def is_complete(uri: str) -> bool:
    """Tell whether there is a checkpoint or savepoint at a path or URI; of what is no local file, believe it."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return True
    # Flink escapes by itself, Java's own URIs are escaped already: take what is there.
    paths = (Path(uri.removeprefix("file://")), Path(unquote(parts.path)))
    return any((path / "_metadata").is_file() or (path.is_file() and path.name == "_metadata") for path in paths)


def _complete(metadata: Path, job_id: str, number: int | None) -> list[StartPoint]:
    try:
        facts = metadata.stat()
    except FileNotFoundError:  # Flink removes the oldest while we look
        return []
    return [StartPoint(metadata.parent, job_id, number, facts.st_mtime_ns)] if facts.st_size > 0 else []
