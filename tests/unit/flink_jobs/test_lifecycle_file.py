"""The filter file on disk: written whole, backed up, valid at every moment, and otherwise as its author left it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import schemas
from flink_jobs import FilterError, FilterSet
from flink_jobs.filters import Filter, Status
from flink_jobs.lifecycle.file import FileError, FilterFile
from flink_jobs.lifecycle.records import Records
from flink_jobs.lifecycle.rollback import RollbackError, find_earlier
from flink_jobs.lifecycle.states import approve, disable

MakeDocument = Callable[..., dict[str, Any]]
MakeFilters = Callable[..., FilterSet]


@pytest.fixture
def file(tmp_path: Path, document: MakeDocument) -> FilterFile:
    """A file with one filter that nobody has approved."""
    path = tmp_path / "filters.json"
    path.write_text(json.dumps(document()))
    return FilterFile(path, tmp_path / "state")


def approved(one: Filter) -> Filter:
    """Approve a filter."""
    return approve(one, one.targets, "Ada", "2026-11-21T10:00:00Z")


def test_only_the_keys_of_a_filters_life_are_written(file: FilterFile) -> None:
    """Conditions keep their form, be it that of the API, and every key its place (FL-4)."""
    entry = {
        "id": "one",
        "name": "Ünï",
        "consumerGroup": "g",
        "outputTopic": "t",
        "enabled": True,
        "conditions": {"logic": "OR", "conditions": [{"field": "id", "operator": "isNotNull"}]},
    }
    file.path.write_text(json.dumps({"version": 3, "filters": [entry]}))
    file.update(approved)
    after = json.loads(file.path.read_text())
    assert "Ünï" in file.path.read_text("utf-8")
    written = after["filters"][0]
    assert list(written)[:6] == list(entry)
    assert {key: written[key] for key in entry} == entry
    assert (written["status"], written["approvedBy"], after["version"]) == ("approved", "Ada", 3)
    assert "updatedAt" in written


def test_where_nothing_changes_nothing_is_written(file: FilterFile) -> None:
    """Not even the time, so that a look at the file is no change of it."""
    file.update(approved)
    before = file.path.read_bytes(), file.path.stat().st_mtime_ns
    file.update(approved)
    assert (file.path.read_bytes(), file.path.stat().st_mtime_ns) == before


def test_a_change_that_would_break_the_file_is_not_written(file: FilterFile) -> None:
    """What stands there stays there."""
    before = file.path.read_bytes()
    with pytest.raises(FilterError):
        file.update(lambda one: one.model_copy(update={"version": 0}))
    with pytest.raises(FilterError):
        file.restore({"version": 1, "filters": [{"id": "x"}]})
    assert file.path.read_bytes() == before
    assert [each.name for each in file.path.parent.iterdir() if each.is_file()] == ["filters.json"]


def test_a_crash_while_writing_leaves_the_old_file(file: FilterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader sees the old document or the new one, never half of it."""
    before = file.path.read_bytes()

    def dies(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        file.update(approved)
    assert file.path.read_bytes() == before


def test_a_link_stays_a_link(file: FilterFile, tmp_path: Path) -> None:
    """What it points to is written, as in a folder of configurations."""
    link = tmp_path / "link.json"
    link.symlink_to(file.path)
    FilterFile(link, tmp_path / "state").update(disable)
    assert link.is_symlink()
    assert file.read().filters[0].enabled is False


@pytest.mark.parametrize("path", [schemas.filters_path(), schemas.dealer_filters_path()])
def test_the_file_of_the_package_is_never_written(path: Path, tmp_path: Path) -> None:
    """It belongs to the installation, and the error says what to do."""
    before = path.read_bytes()
    with pytest.raises(FileError, match="copy it, and name the copy by --file or FILTERS_FILE"):
        FilterFile(path, tmp_path).update(disable)
    assert path.read_bytes() == before


def test_the_newest_ten_backups_are_kept_byte_for_byte(file: FilterFile) -> None:
    """Named by their time, newest first (FL-76)."""
    made = []
    for number in range(13):
        file.path.write_text(f" {number} ")
        made.append(file.backup().name)
    assert [each.name for each in file.backups()] == sorted(made, reverse=True)[:10]
    assert file.backups()[0].path.read_text() == " 12 "
    assert all(each.name.startswith("filters-20") and each.made.endswith("Z") for each in file.backups())


def test_a_backup_is_found_by_its_name(file: FilterFile) -> None:
    """With or without the ending (FL-75)."""
    saved = file.backup()
    for name in (saved.name, saved.path.stem):
        earlier = find_earlier(file, name, None)
        assert (earlier.kind, earlier.document) == ("backup", json.loads(saved.path.read_text()))


def test_a_revision_of_version_control_is_found(file: FilterFile) -> None:
    """Any name that git knows, and the commit it stands for is told (FL-75)."""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        command = ["git", "-C", str(file.path.parent), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    git("add", "filters.json")
    git("commit", "-qm", "first")
    first = git("rev-parse", "HEAD")
    before = json.loads(file.path.read_text())
    file.update(approved)
    git("commit", "-qam", "second")
    earlier = find_earlier(file, "HEAD~1", None)
    assert (earlier.kind, earlier.name, earlier.document) == ("revision", first, before)
    with pytest.raises(RollbackError, match=r"neither a backup .* nor a git revision"):
        find_earlier(file, "--output=x", None)


def test_what_is_neither_is_refused_with_where_to_look(file: FilterFile) -> None:
    """The command that lists backups; and with nothing deployed before, there is no default (FL-75)."""
    with pytest.raises(RollbackError, match="headwater filters backups"):
        find_earlier(file, "filters-19990101T000000.000000Z.json", None)
    with pytest.raises(RollbackError, match="nothing else was deployed"):
        find_earlier(file, None, None)


def test_what_was_deployed_before_is_the_newest_other_set(tmp_path: Path, filters: MakeFilters) -> None:
    """A plan compiled anew from the same filters is not another one (FL-75)."""
    records = Records(tmp_path)
    first, second = filters(), filters(name="Two")
    a, b, b_again, a_again = (letter * 16 for letter in "abcd")
    for digest, each in ((a, first), (b, second), (b_again, second), (a_again, first)):
        records.note(digest, each)
    assert records.previous(a) is None
    records.succeeded(a, b)
    assert records.previous(b) == records.find(a)
    assert records.previous(b_again) == records.find(a)
    records.succeeded(b, a_again)
    assert records.previous(a_again) == records.find(b)


def test_records_are_forgotten_when_there_are_many(tmp_path: Path, filters: MakeFilters) -> None:
    """The folder does not grow with every deployment; the newest stay."""
    records = Records(tmp_path)
    for number in range(60):
        records.note(f"{number:016x}", filters())
    assert len(list(records.every())) == 50
    assert records.find(f"{59:016x}") is not None


def test_a_state_is_read_back_as_it_was_written(file: FilterFile) -> None:
    """Round trip of approvals (FL-34)."""
    after = file.update(approved)
    assert file.read() == after
    assert after.filters[0].status is Status.APPROVED
    assert after.filters[0].approvals["flink"].by == "Ada"
