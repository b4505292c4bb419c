"""Owns the filter file on disk: the one writer, which replaces it whole, keeps backups and touches nothing it need not.

Only the keys of a filter's life are written, into the document as its author wrote it: order, unknown spelling of the
API and everything else stay. What is written has been read back first, so the file is valid at every moment. The file
that comes with the package is never written. Must never decide what a state is. Facts: FL-4, FL-75 and FL-76.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import schemas
from flink_jobs.filters import Filter, FilterError, FilterSet, load_filters, parse_filters

Json = dict[str, Any]
Change = Callable[[Filter], Filter]

KEPT: Final = 10
"""Backups that are kept (FL-76)."""

_LIFE: Final = (
    "enabled",
    "status",
    "version",
    "approved_by",
    "approved_at",
    "deployed_at",
    "deployment_error",
    "flink_statement_ids",
    "approvals",
    "deployments",
)


class FileError(RuntimeError):
    """Say why the filter file is not written, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Name one backup and when it was made, ISO 8601 in UTC."""

    name: str
    path: Path
    made: str


class FilterFile:
    """Read and write one filter file.

    Args:
        path: The file.
        folder: Where its backups are kept, in `backups/`, and the lock of its writers.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self._folder = folder
        self._backups = folder / "backups"

    def read(self) -> FilterSet:
        """Read the file.

        Raises:
            FilterError: It breaks a rule.
        """
        return load_filters(self.path)

    def update(self, change: Change) -> FilterSet:
        """Change every filter as it is in the file now, and return what the file holds then.

        Where nothing changes, nothing is written.

        Raises:
            FilterError: The file breaks a rule, before or after.
            FileError: It cannot be written.
        """
        with self._alone():
            before = self.read()
            after = before.model_copy(update={"filters": tuple(map(change, before.filters))})
            if after == before:
                return before
            document = json.loads(self.path.read_text("utf-8"))
            for body, old, new in zip(document["filters"], before.filters, after.filters, strict=True):
                _write_life(body, old, new)
            self._replace(document)
            return self.read()

    def restore(self, document: Json) -> FilterSet:
        """Put another document in the place of the file.

        Raises:
            FilterError: It breaks a rule.
            FileError: It cannot be written.
        """
        with self._alone():
            self._replace(document)
            return self.read()

    def backup(self) -> Backup:
        """Copy the file byte for byte, and forget all but the newest ten copies.

        Raises:
            FileError: It cannot be copied.
        """
        made = datetime.now(UTC)
        try:
            self._backups.mkdir(parents=True, exist_ok=True)
            target = self._backups / f"filters-{made:%Y%m%dT%H%M%S.%fZ}.json"
            _write_whole(target, self.path.read_bytes())
            for old in self.backups()[KEPT:]:
                old.path.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"{self.path} cannot be backed up to {self._backups}: {error}") from error
        return _backup(target)

    def backups(self) -> list[Backup]:
        """Return the backups, newest first."""
        return [_backup(file) for file in sorted(self._backups.glob("filters-*.json"), reverse=True)]

    def check_writable(self) -> None:
        """Refuse a file that may not be written.

        Raises:
            FileError: It comes with the package.
        """
        if self.path.resolve() in {schemas.filters_path().resolve(), schemas.dealer_filters_path().resolve()}:
            raise FileError(
                f"{self.path} comes with the package and is not edited; "
                "copy it, and name the copy by --file or FILTERS_FILE"
            )

    def _replace(self, document: Json) -> None:
        self.check_writable()
        parse_filters(document)
        body = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        try:
            # A link stays a link: what it points to is replaced.
            _write_whole(self.path.resolve(), body.encode())
        except OSError as error:
            raise FileError(f"{self.path} cannot be written: {error}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock that every writer of ours takes; the system frees it when a process dies."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def now() -> str:
    """Return the time as the file holds it: ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def valid_document(text: str, origin: str) -> Json:
    """Return a filter document that was read from elsewhere.

    Raises:
        FilterError: It is no JSON or breaks a rule.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FilterError([("$", f"{origin} is no JSON: {error}")]) from error
    parse_filters(document)
    return dict(document)


def _write_life(body: Json, old: Filter, new: Filter) -> None:
    if new == old:
        return
    dumped = new.model_dump(mode="json", by_alias=True, exclude_none=True)
    dumped |= new.model_dump(mode="json", by_alias=True, exclude_defaults=True, include={"approvals", "deployments"})
    names = {name: Filter.model_fields[name].alias or name for name in _LIFE}
    for name, key in names.items():
        value = dumped.get(key)
        if getattr(old, name) == getattr(new, name):
            continue
        if value is None or value in ([], {}):
            body.pop(key, None)
        else:
            body[key] = value
    body["updatedAt"] = now()


def _write_whole(target: Path, body: bytes) -> None:
    """Write beside, then move into place: a reader sees the old file or the new one."""
    handle, partial = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        Path(partial).replace(target)
    finally:
        Path(partial).unlink(missing_ok=True)


def _backup(file: Path) -> Backup:
    stamp = datetime.strptime(file.stem.removeprefix("filters-"), "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    return Backup(file.name, file, stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
