"""What is found on disk after a crash: complete checkpoints of ours, and the list of submissions."""

import os
from pathlib import Path

from flink_jobs.checkpoints import End, Ledger, Submission, complete_checkpoints, remove_checkpoints


def write(folder: Path, job: str, number: int, *, at: int, complete: bool = True) -> Path:
    """Write a checkpoint as Flink does; an incomplete one lacks its `_metadata`."""
    checkpoint = folder / job / f"chk-{number}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "._metadata.inprogress.1").write_bytes(b"half")
    if complete:
        (checkpoint / "_metadata").write_bytes(b"whole")
        os.utime(checkpoint / "_metadata", ns=(at, at))
    return checkpoint


def test_the_newest_complete_checkpoint_comes_first(tmp_path: Path) -> None:
    """Newest by when it was completed, over all jobs of ours; half-written ones are passed over."""
    write(tmp_path, "a", 7, at=10)
    newest = write(tmp_path, "b", 2, at=30)
    write(tmp_path, "a", 8, at=20)
    write(tmp_path, "b", 3, at=40, complete=False)
    found = complete_checkpoints(tmp_path, ["a", "b"])
    assert [(each.job_id, each.number) for each in found] == [("b", 2), ("a", 8), ("a", 7)]
    assert found[0].uri == f"file://{newest}"


def test_checkpoints_of_other_jobs_are_never_ours(tmp_path: Path) -> None:
    """Another job of the same cluster writes to the same folder."""
    write(tmp_path, "theirs", 1, at=99)
    assert complete_checkpoints(tmp_path, ["ours"]) == []


def test_an_empty_or_misnamed_checkpoint_is_none(tmp_path: Path) -> None:
    """A crash can leave an empty file, and a person a folder of another name."""
    write(tmp_path, "a", 1, at=1).joinpath("_metadata").write_bytes(b"")
    (tmp_path / "a" / "chk-copy").mkdir()
    (tmp_path / "a" / "chk-copy" / "_metadata").write_bytes(b"x")
    assert complete_checkpoints(tmp_path, ["a"]) == []
    assert complete_checkpoints(tmp_path / "nowhere", ["a"]) == []


def test_checkpoints_are_removed_by_job(tmp_path: Path) -> None:
    """Those of the named jobs go, the others stay, and a job without any is no error."""
    write(tmp_path, "a", 1, at=1)
    write(tmp_path, "b", 1, at=2)
    remove_checkpoints(tmp_path, ["a", "never-was"])
    assert [each.job_id for each in complete_checkpoints(tmp_path, ["a", "b"])] == ["b"]


def test_the_ledger_remembers_submissions_and_ends(tmp_path: Path) -> None:
    """In order, over a restart, with the newest under one id."""
    ledger = Ledger(tmp_path / "deep" / "ledger")
    assert (ledger.submissions(), ledger.ends(), ledger.find("a")) == ([], {}, None)
    first, second = Submission("a", "d1", None, "jm"), Submission("a", "d2", "file:///c", "jm")
    for entry in (first, End("b", "FAILED"), second):
        ledger.add(entry)
    again = Ledger(tmp_path / "deep" / "ledger")
    assert again.submissions() == [first, second]
    assert again.ends() == {"b": "FAILED"}
    assert again.find("a") == second


def test_a_line_torn_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    """What was written before it and after it is still read."""
    file = tmp_path / "ledger"
    ledger = Ledger(file)
    before, after = Submission("a", "d", None, "jm"), Submission("b", "d", None, "jm")
    ledger.add(before)
    with file.open("a") as torn:
        torn.write('\n{"job_id": "x", "dig')
    ledger.add(after)
    assert ledger.submissions() == [before, after]
