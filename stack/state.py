"""Owns the state folder: its layout, its lock and the record of the settings that a running stack was started with."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from stack.errors import StackError
from stack.settings import StackSettings

VERSION = 1

_IGNORES_ITSELF = "*\n"


class State:
    """Name every place below the state folder.

    Args:
        root: The folder; it need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.record = self.root / "state.json"
        self._mark = self.root / ".gitignore"
        self.logs = self.root / "logs"
        self.run = self.root / "run"
        self.starts = self.run / "starts.json"
        self.postgres = self.root / "postgres"
        self.kafka = self.root / "kafka"
        self.flink = self.root / "flink"
        self.connect = self.root / "connect"
        self.filters = self.root / "filters.json"

    def create(self) -> None:
        """Create the folders.

        Raises:
            StackError: The folder cannot be written, or is of another version of Headwater.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # A folder that ignores itself never ends up in a commit, wherever it stands. One that had things in it is
            # somebody else's, and is not marked as ours.
            if not any(self.root.iterdir()):
                self._mark.write_text(_IGNORES_ITSELF)
            for folder in (self.logs, self.run, self.flink):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The state folder {self.root} cannot be written ({error.strerror}).",
                "Change its permissions, delete it, or set HEADWATER_STATE_DIR to another folder.",
            ) from error

    def wipe(self) -> None:
        """Delete the folder and all that is in it.

        Raises:
            StackError: It is not one that Headwater has made.
        """
        if not self.root.exists():
            return
        if any(self.root.iterdir()) and not (self._mark.is_file() and self._mark.read_text() == _IGNORES_ITSELF):
            raise StackError(
                f"{self.root} has other things in it than a stack's state, so it is not deleted.",
                "Set HEADWATER_STATE_DIR to a folder of its own, or delete this one yourself.",
            )
        shutil.rmtree(self.root, ignore_errors=True)

    def load(self) -> StackSettings | None:
        """Return the settings of the last start, or None when there was none.

        Raises:
            StackError: The record is unreadable or of another version.
        """
        try:
            data = json.loads(self.record.read_text())
            version, settings = data["version"], data["settings"]
            if version == VERSION:
                return StackSettings.model_validate(settings | {"state_dir": self.root})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise StackError(
                f"The state folder is damaged: {self.record} cannot be read ({type(error).__name__}).",
                f"Delete {self.root} (its events are lost), or run `headwater up --wipe`.",
            ) from error
        raise StackError(
            f"{self.root} was written by another version of Headwater (state version {version}, ours is {VERSION}).",
            "Run `headwater up --wipe` to start afresh, or set HEADWATER_STATE_DIR to another folder.",
        )

    def save(self, settings: StackSettings) -> None:
        """Record the settings of this start; the file is replaced in one step."""
        partial = self.record.with_suffix(".partial")
        partial.write_text(
            json.dumps({"version": VERSION, "settings": settings.model_dump(mode="json", exclude={"state_dir"})})
        )
        partial.replace(self.record)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one command that starts or stops; the lock ends with the process.

        Raises:
            StackError: Another command holds it.
        """
        with (self.run / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StackError(
                    "Another headwater command is starting or stopping this stack.",
                    "Wait until it is done; `headwater status` tells.",
                ) from error
            handle.write(str(os.getpid()))
            handle.flush()
            yield
