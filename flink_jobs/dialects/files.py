"""Owns how statements for Confluent Cloud are handed to a person or a pipeline: as one text, or a file for each call.

A file holds exactly what one call takes and does not differ between two runs; time and source stand in the list beside
them, `statements.json`, which says in which order they are run. Must never know what a statement says.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flink_jobs.dialects.confluent import Call
from flink_jobs.rendering import comment

LIST: Final = "statements.json"


def printed(calls: Sequence[Call], properties: Mapping[str, str], source: str, now: datetime | None = None) -> str:
    """Return the statements as one text to read; only its first line tells two runs apart (FL-55)."""
    head = [
        f"-- Generated {_time(now)} from {comment(source)}.",
        "-- Do not edit: change the filters and generate again.",
        "-- One statement is one call. Properties of each:",
        *(f"--   {name} = {value}" for name, value in properties.items()),
    ]
    bodies = (f"-- {number} of {len(calls)}: {each.name}\n{each.text}" for number, each in enumerate(calls, 1))
    return "\n\n".join(("\n".join(head), *bodies)) + "\n"


def write_folder(
    folder: Path, calls: Sequence[Call], properties: Mapping[str, str], source: str, now: datetime | None = None
) -> tuple[Path, ...]:
    """Write a numbered file for each statement and the list of them; return the files.

    Files that an earlier list names and this one does not are removed, so that no filter of yesterday is deployed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width = max(2, len(str(len(calls))))
    names = [f"{number:0{width}}-{each.name}.sql" for number, each in enumerate(calls, 1)]
    for stale in _listed(folder) - set(names):
        (folder / stale).unlink(missing_ok=True)
    for name, each in zip(names, calls, strict=True):
        (folder / name).write_text(each.text + "\n", "utf-8")
    body = {
        "generated": _time(now),
        "source": source,
        "note": "Do not edit: change the filters and generate again.",
        "properties": dict(properties),
        "statements": [{"name": each.name, "file": name} for name, each in zip(names, calls, strict=True)],
    }
    (folder / LIST).write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return tuple(folder / name for name in names)


def _listed(folder: Path) -> set[str]:
    try:
        found = json.loads((folder / LIST).read_text("utf-8"))["statements"]
    except FileNotFoundError:
        return set()
    # A name with a folder in it was not written here.
    return {str(each["file"]) for each in found if Path(each["file"]).name == each["file"]}


def _time(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).isoformat(timespec="seconds")
