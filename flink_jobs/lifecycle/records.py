"""Owns the record of what ran: the filters that each plan was compiled from, by the plan's digest.

The cluster knows which job runs, the ledger which plan that job is, and this which filters that plan is. Must never be
asked what runs: only Flink knows that.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flink_jobs.filters import Filter, FilterError, FilterSet, load_filters, to_file_form

Json = dict[str, Any]

_KEPT: Final = 50
_DIGEST = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Ran:
    """Hold what one plan was compiled from.

    Attributes:
        digest: The plan.
        filters: Every filter of the file at that time, disabled ones too.
    """

    digest: str
    filters: FilterSet

    def find(self, filter_id: str) -> Filter | None:
        """Return the filter of an id."""
        return next((each for each in self.filters.filters if each.id == filter_id), None)

    @property
    def document(self) -> Json:
        """Return the filters as a file holds them."""
        return to_file_form(self.filters)


class Records:
    """Keep the filter sets of plans in a folder.

    Args:
        folder: A JSON file for each, in the form of a filter file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, digest: str, filters: FilterSet) -> None:
        """Write down what a plan is compiled from; the newest word counts, and the newest fifty are kept."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{digest}"
        partial.write_text(json.dumps(to_file_form(filters), ensure_ascii=False), "utf-8")
        partial.replace(self._folder / f"{digest}.json")
        files = sorted(self._files(), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[_KEPT:]:
            file.unlink(missing_ok=True)

    def find(self, digest: str | None) -> Ran | None:
        """Return what a plan was compiled from, None when that is not known."""
        if digest is None:
            return None
        try:
            return Ran(digest, load_filters(self._folder / f"{digest}.json"))
        except FilterError:
            return None

    def every(self) -> Iterator[Ran]:
        """Yield every record there is."""
        for file in self._files():
            if ran := self.find(file.stem):
                yield ran

    def succeeded(self, before: str | None, after: str) -> None:
        """Write down that one plan has taken the place of another one."""
        known = self._history()
        added = [each for each in (before, after) if each is not None]
        if added and known and known[-1] == added[0]:
            added = added[1:]
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "history").open("a", encoding="ascii") as file:
            file.writelines(f"{digest}\n" for digest in added)

    def previous(self, running: str | None) -> Ran | None:
        """Return what was deployed before the plan that runs now: other filters, not the same ones compiled anew."""
        present = self.find(running)
        for digest in reversed(self._history()):
            ran = self.find(digest)
            if ran is not None and digest != running and (present is None or ran.filters != present.filters):
                return ran
        return None

    def _history(self) -> list[str]:
        try:
            return (self._folder / "history").read_text("ascii").split()
        except FileNotFoundError:
            return []

    def _files(self) -> list[Path]:
        return [file for file in self._folder.glob("*.json") if _DIGEST.fullmatch(file.stem)]
