"""What is found on disk after a crash: complete checkpoints and savepoints of ours, and the list of submissions."""

import os
import shutil
from pathlib import Path

from flink_jobs.checkpoints import Folders, is_complete
from flink_jobs.ledger import End, Ledger, Stop, Submission


def write(folder: Path, job: str, number: int, *, at: int, complete: bool = True) -> Path:
    """Write a checkpoint as Flink does; an incomplete one lacks its `_metadata`."""
    checkpoint = folder / job / f"chk-{number}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "._metadata.inprogress.1").write_bytes(b"half")
    if complete:
        (checkpoint / "_metadata").write_bytes(b"whole")
        os.utime(checkpoint / "_metadata", ns=(at, at))
    return checkpoint


def folders(path: Path) -> Folders:
    """Return the two folders of a test."""
    return Folders(path, path / "savepoints")


def savepoint(folder: Path, job: str, *, at: int) -> str:
    """Write a savepoint of a job as Flink does, and return its URI."""
    made = folder / "savepoints" / job / f"savepoint-{job[:6]}-0123456789ab"
    made.mkdir(parents=True)
    (made / "_metadata").write_bytes(b"whole")
    os.utime(made / "_metadata", ns=(at, at))
    return f"file://{made}"


def test_the_newest_complete_checkpoint_comes_first(tmp_path: Path) -> None:
    """Newest by when it was completed, over all jobs of ours; half-written ones are passed over."""
    write(tmp_path, "a", 7, at=10)
    newest = write(tmp_path, "b", 2, at=30)
    write(tmp_path, "a", 8, at=20)
    write(tmp_path, "b", 3, at=40, complete=False)
    found = folders(tmp_path).of(["a", "b"])
    assert [(each.job_id, each.number) for each in found] == [("b", 2), ("a", 8), ("a", 7)]
    assert found[0].uri == f"file://{newest}"


def test_checkpoints_of_other_jobs_are_never_ours(tmp_path: Path) -> None:
    """Another job of the same cluster writes to the same folder."""
    write(tmp_path, "theirs", 1, at=99)
    assert folders(tmp_path).of(["ours"]) == []


def test_an_empty_or_misnamed_checkpoint_is_none(tmp_path: Path) -> None:
    """A crash can leave an empty file, and a person a folder of another name."""
    write(tmp_path, "a", 1, at=1).joinpath("_metadata").write_bytes(b"")
    (tmp_path / "a" / "chk-copy").mkdir()
    (tmp_path / "a" / "chk-copy" / "_metadata").write_bytes(b"x")
    assert folders(tmp_path).of(["a"]) == []
    assert folders(tmp_path / "nowhere").of(["a"]) == []


def test_checkpoints_are_removed_by_job(tmp_path: Path) -> None:
    """Those of the named jobs go, the others stay, and a job without any is no error."""
    write(tmp_path, "a", 1, at=1)
    write(tmp_path, "b", 1, at=2)
    folders(tmp_path).remove(["a", "never-was"])
    assert [each.job_id for each in folders(tmp_path).of(["a", "b"])] == ["b"]


def test_a_savepoint_by_which_a_job_was_stopped_is_a_start_like_a_checkpoint(tmp_path: Path) -> None:
    """The newest of both comes first, and both go with their job."""
    write(tmp_path, "aa", 7, at=10)
    newest = savepoint(tmp_path, "aa", at=20)
    assert folders(tmp_path).of(["aa"])[0].uri == newest
    folders(tmp_path).remove(["aa"])
    assert folders(tmp_path).of(["aa"]) == []


def test_what_the_last_job_started_from_comes_before_what_is_newer_on_disk(tmp_path: Path) -> None:
    """After a restore from an old savepoint the job comes back from there, until it has a checkpoint of its own."""
    ledger = Ledger(tmp_path / "ledger")
    old = savepoint(tmp_path, "aa", at=10)
    newer = savepoint(tmp_path, "bb", at=20)
    for job, start in (("aa", None), ("bb", None), ("cc", old)):
        ledger.add(Submission(job, "d", start, "jm"))
    assert folders(tmp_path).to_start_from(ledger) == [old, newer]
    own = write(tmp_path, "cc", 1, at=30)
    assert folders(tmp_path).to_start_from(ledger) == [f"file://{own}", newer, old]
    shutil.rmtree(own)
    shutil.rmtree(tmp_path / "savepoints" / "aa")
    assert folders(tmp_path).to_start_from(ledger) == [newer]


def test_a_start_that_is_not_there_is_known_before_anything_is_stopped(tmp_path: Path) -> None:
    """Whatever way its path is written; of a store that is no local folder, the cluster has to tell."""
    folder = tmp_path / "with space"
    folder.mkdir()
    assert not is_complete(str(folder))
    (folder / "_metadata").touch()
    for written in (str(folder), f"file://{folder}", folder.as_uri(), f"file:{folder}", str(folder / "_metadata")):
        assert is_complete(written), written
    assert is_complete("s3://bucket/savepoint-1")


def test_the_newest_word_on_an_end_counts(tmp_path: Path) -> None:
    """A pause is one until it is taken back; what nobody announced is none."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.add(Stop("a", goes_on=True))
    assert ledger.goes_on("a")
    assert not ledger.goes_on("b")
    ledger.add(Stop("a", goes_on=False))
    assert not ledger.goes_on("a")
    assert ledger.job_ids() == {"a"}


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
