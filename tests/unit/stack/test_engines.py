"""Which engine carries the changes of a stack, and who says so."""

import socket
from pathlib import Path

import pytest

from stack import connect, maven
from stack.engines import chosen, refuse_other
from stack.errors import StackError
from stack.local import LocalStack, current_stack
from stack.settings import CdcEngine, StackSettings
from stack.up import check_ports


@pytest.fixture
def stack(tmp_path: Path) -> LocalStack:
    """A stack that was never started."""
    return LocalStack(StackSettings(state_dir=tmp_path / "state", cache_dir=tmp_path / "cache"))


def recorded(stack: LocalStack, engine: CdcEngine) -> None:
    """Let the state folder say that this engine carries the changes."""
    stack.state.create()
    stack.state.save(stack.settings.model_copy(update={"cdc": engine}))


def test_a_new_stack_runs_our_own_engine_unless_told_otherwise(stack: LocalStack) -> None:
    """The command line decides."""
    assert chosen(stack, None).engine == "cdc"
    assert chosen(stack, "debezium").engine == "connect"


def test_the_variable_chooses_where_the_command_line_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HEADWATER_CDC` is the setting; the command line comes before it."""
    monkeypatch.setenv("HEADWATER_CDC", "debezium")
    stack = LocalStack(StackSettings(state_dir=tmp_path))
    assert chosen(stack, None).engine == "connect"
    assert chosen(stack, "native").engine == "cdc"


def test_a_stopped_stack_starts_again_with_the_engine_it_had(stack: LocalStack) -> None:
    """The slot is where that engine left it, so its record counts more than the default."""
    recorded(stack, "debezium")
    assert chosen(stack, None).engine == "connect"
    assert chosen(stack, "debezium").engine == "connect"


def test_the_other_engine_needs_a_switch(stack: LocalStack) -> None:
    """Starting it on a slot that it did not leave is refused, with the command that changes engines."""
    recorded(stack, "debezium")
    with pytest.raises(StackError) as caught:
        chosen(stack, "native")
    assert "headwater cdc switch native" in caught.value.remedy
    assert chosen(stack, "native", wiped=True).engine == "cdc"


def test_a_stopped_stack_is_shown_with_its_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` of a stack that Debezium served does not name the other."""
    monkeypatch.setenv("HEADWATER_STATE_DIR", str(tmp_path / "state"))
    recorded(LocalStack(StackSettings()), "debezium")
    assert current_stack().wanted[4] == "connect"


def test_a_running_stack_does_not_take_the_other_engine_beside_its_own(stack: LocalStack) -> None:
    """One slot has one reader (CD-8)."""
    refuse_other(stack, None)
    refuse_other(stack, "native")
    with pytest.raises(StackError, match="runs with native"):
        refuse_other(stack, "debezium")


def test_connect_and_debezium_are_fetched_only_when_asked_for(stack: LocalStack) -> None:
    """A user of our own engine downloads none of it."""
    theirs = {jar.coordinates for jar in maven.bundle(connect.BUNDLE)} - {
        jar.coordinates for jar in maven.bundle("kafka")
    }
    assert not theirs & {jar.coordinates for jar in stack.missing_archives()}
    assert theirs <= {jar.coordinates for jar in chosen(stack, "debezium").missing_archives()}


def test_connect_is_of_the_brokers_version() -> None:
    """One release of Kafka on both sides, and one of each library on Connect's class path."""
    broker = {jar.coordinates for jar in maven.bundle("kafka")}
    connects = [jar.coordinates for jar in maven.bundle(connect.BUNDLE)]
    assert {each for each in connects if ":kafka-clients:" in each} <= broker
    assert any(each.startswith("io.debezium:debezium-connector-postgres:3.7.") for each in connects)
    assert len({each.rsplit(":", 1)[0] for each in connects}) == len(connects)


def test_a_port_of_the_engine_that_does_not_run_may_be_taken(stack: LocalStack, tmp_path: Path) -> None:
    """Whoever runs Connect elsewhere on this machine can still start our own engine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = stack.settings.model_copy(update={"connect_port": taken.getsockname()[1]})
        with pytest.raises(StackError, match="HEADWATER_CONNECT_PORT"):
            check_ports(settings.model_copy(update={"cdc": "debezium", **_zeros(settings)}))
        check_ports(settings.model_copy(update=_zeros(settings)))


def _zeros(settings: StackSettings) -> dict[str, int]:
    """Return port 0 for every other service: the system then takes any."""
    names = [name for name in type(settings).model_fields if name.endswith("_port") and name != "connect_port"]
    return dict.fromkeys(names, 0)


def test_the_worker_resolves_the_credentials_and_nothing_else(stack: LocalStack) -> None:
    """User and password are in its environment, not in its file, and only these two may be asked for (CD-65)."""
    stack.state.create()
    connect.prepare(stack.settings, stack.state)
    written = (stack.state.connect / "worker.properties").read_text()
    service = connect.service(stack.settings, stack.state)
    assert set(service.environment) == {"DEBEZIUM_DATABASE_USER", "DEBEZIUM_DATABASE_PASSWORD"}
    assert "allowlist.pattern=^(DEBEZIUM_DATABASE_USER|DEBEZIUM_DATABASE_PASSWORD)$" in written
