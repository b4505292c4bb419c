"""The state folder: what is kept between starts, and what a damaged one says."""

import json
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.settings import StackSettings
from stack.state import State


def test_a_stack_remembers_the_ports_it_was_started_with(tmp_path: Path) -> None:
    """`status`, `send` and `down` find a stack whose ports came from an environment that is gone."""
    state = State(tmp_path)
    state.create()
    state.save(StackSettings(state_dir=tmp_path, kafka_port=19092))
    assert state.load() == StackSettings(state_dir=tmp_path, kafka_port=19092)


def test_a_filter_file_is_recorded_wherever_the_command_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`FILTERS_FILE` is read by services that stand in other folders; an empty one names nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FILTERS_FILE", "mine.json")
    state = State(tmp_path)
    state.create()
    state.save(StackSettings(state_dir=tmp_path))
    monkeypatch.setenv("FILTERS_FILE", "")
    assert StackSettings().filters_file is None
    recorded = state.load()
    assert recorded is not None
    assert recorded.filters_file == tmp_path / "mine.json"


@pytest.mark.parametrize("mine", ["thesis.txt", ".gitignore"])
def test_only_a_folder_of_ours_is_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mine: str) -> None:
    """Whoever names the wrong folder keeps what is in it, the rules of a checkout too; an empty name is no folder."""
    (tmp_path / mine).write_text("years")
    foreign = State(tmp_path)
    foreign.create()
    with pytest.raises(StackError, match="not deleted"):
        foreign.wipe()
    assert (tmp_path / mine).read_text() == "years"
    ours = State(tmp_path / "new")
    ours.wipe()
    ours.create()
    ours.wipe()
    assert not ours.root.exists()
    monkeypatch.setenv("HEADWATER_STATE_DIR", "")
    assert StackSettings().state_dir == Path(".headwater")


def test_a_folder_never_used_has_nothing_to_remember(tmp_path: Path) -> None:
    """The first start finds no record."""
    assert State(tmp_path / "new").load() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 1, "settings": {"kafka_port": 0}}'])
def test_a_half_written_record_says_what_to_delete(tmp_path: Path, content: str) -> None:
    """Damage is an error that names the folder, not a traceback."""
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(StackError, match=str(tmp_path)):
        State(tmp_path).load()


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    """A folder of a later Headwater is not guessed at."""
    (tmp_path / "state.json").write_text(json.dumps({"version": 99, "settings": {}}))
    with pytest.raises(StackError, match="another version"):
        State(tmp_path).load()


def test_a_state_path_that_is_a_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """The remedy names the setting that moves the folder."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StackError, match="HEADWATER_STATE_DIR"):
        State(tmp_path / "taken").create()


def test_two_commands_never_start_one_stack_at_once(tmp_path: Path) -> None:
    """The second one is told so."""
    state = State(tmp_path)
    state.create()
    with state.locked(), pytest.raises(StackError, match="Another headwater command"), State(tmp_path).locked():
        pass
