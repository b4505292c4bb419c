"""Owns the way back: which earlier filters are meant, and that they stand in the file again (FL-75).

The file becomes what it was, approvals and all: what was approved then needs no new approval. Must never deploy.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flink_jobs.lifecycle.file import FilterFile, valid_document
from flink_jobs.lifecycle.records import Ran

Json = dict[str, Any]

_GIT_SECONDS = 30


class RollbackError(RuntimeError):
    """Say why there is no way back to what was asked for, and what there is."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """Hold filters to go back to.

    Attributes:
        kind: `previous` (what was deployed before), `backup` or `revision`.
        name: The plan's digest, the backup's name, or the full commit id.
        document: The filter document.
    """

    kind: str
    name: str
    document: Json


def find_earlier(file: FilterFile, wanted: str | None, previous: Ran | None) -> Earlier:
    """Return the filters that are meant by a name.

    Args:
        file: The filter file.
        wanted: The name of a backup, a git revision of the file, or None for what was deployed before.
        previous: What was deployed before what runs now.

    Raises:
        RollbackError: There is nothing of that name.
        FilterError: It breaks a rule.
    """
    if wanted is None:
        if previous is None:
            raise RollbackError(
                "nothing else was deployed before what runs now; name a backup (`headwater filters backups`) or a git "
                "revision of the file"
            )
        return Earlier("previous", previous.digest, previous.document)
    for backup in file.backups():
        if wanted in {backup.name, backup.path.stem}:
            return Earlier("backup", backup.name, valid_document(backup.path.read_text("utf-8"), backup.name))
    commit, text = _revision(file.path.resolve(), wanted)
    return Earlier("revision", commit, valid_document(text, f"{file.path.name} at {wanted}"))


def _revision(path: Path, revision: str) -> tuple[str, str]:
    known = "it is neither a backup (`headwater filters backups`) nor a git revision that holds the file"
    try:
        # As an argument of its own and after --verify, a name that starts with a dash is no option.
        commit = _git(path.parent, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").strip()
        return commit, _git(path.parent, "show", f"{commit}:./{path.name}")
    except subprocess.CalledProcessError as error:
        told = (error.stderr or "").strip().splitlines()
        raise RollbackError(
            f"no filters under {revision!r}: {known} ({told[-1] if told else 'git refuses'})"
        ) from error
    except FileNotFoundError as error:
        raise RollbackError(f"no backup {revision!r}, and git is not there to look for a revision") from error


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS).stdout
