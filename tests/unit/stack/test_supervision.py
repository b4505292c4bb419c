"""The supervisor's configuration and the count of restarts."""

import configparser
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack import restarts
from stack.errors import StackError
from stack.service import Service
from stack.state import State
from stack.supervision import Supervisor

paths = st.text(alphabet="ab %'(){}$&é-", min_size=1, max_size=12)


def _parsed(tmp_path: Path, service: Service) -> configparser.SectionProxy:
    text = Supervisor(State(tmp_path))._configuration([service])
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text)
    return parser[f"program:{service.name}"]


@given(argument=paths)
def test_every_argument_reaches_the_program_unchanged(tmp_path_factory: pytest.TempPathFactory, argument: str) -> None:
    """Spaces, quotes and percent signs in a path survive supervisord's expansions."""
    service = Service("x", ("/bin/echo", f"/a/{argument}"), ready=bool)
    command = _parsed(tmp_path_factory.getbasetemp(), service)["command"]
    assert shlex.split(command % {}) == ["/bin/echo", f"/a/{argument}"]


@pytest.mark.parametrize("value", ["two\nlines", "a ;b", "a #b"])
def test_what_the_configuration_cannot_hold_is_refused(tmp_path: Path, value: str) -> None:
    """A value that supervisord would cut is an error, not a wrong command."""
    with pytest.raises(StackError):
        Supervisor(State(tmp_path))._configuration([Service("x", ("/bin/echo", value), ready=bool)])


def test_each_start_is_counted(tmp_path: Path) -> None:
    """A service started three times was restarted twice."""
    file = tmp_path / "starts.json"
    for _ in range(3):
        restarts.count(file, "kafka")
    restarts.count(file, "cdc")
    assert restarts.read(file) == {"kafka": 3, "cdc": 1}


def test_a_damaged_count_starts_anew(tmp_path: Path) -> None:
    """The count is a convenience: its damage stops nothing."""
    file = tmp_path / "starts.json"
    file.write_text("{")
    assert restarts.read(file) == {}
