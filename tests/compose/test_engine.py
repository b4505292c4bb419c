"""The container engine of the tests: found, or started and stopped without a trace, or missed with a reason."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.compose import engine as engines
from tests.compose.engine import DATA_ROOT_VARIABLE, Engine, NoEngineError, engine
from tests.compose.host_network import State, free_range


def test_the_engine_answers_and_its_children_find_it(container_engine: Engine) -> None:
    """A command without any argument about the engine reaches it."""
    answer = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, check=True)
    assert answer.stdout.strip()


def test_containers_find_each_other_by_name(containers: Any) -> None:
    """A container of the test's network resolves the name of another."""
    containers.start("base", "sleep", "60", name="first")
    second = containers.start("base", "getent", "hosts", "first")
    assert second.exit_status() == 0


def test_the_base_has_python_and_no_build_tools(containers: Any) -> None:
    """What our own images stand on runs Python 3.11 and cannot compile."""
    asked = containers.start("base", "python", "-c", "import sys, venv, ssl; print(sys.version_info[:2])")
    assert asked.exit_status() == 0
    assert "(3, 11)" in asked.log()
    assert containers.start("base", "sh", "-c", "command -v gcc cc make").exit_status() != 0


@pytest.fixture(scope="module")
def own_engine(
    docker_client: docker.DockerClient, stand_in: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What an engine of our own did and left, started in a network apart."""
    missing = [program for program in ("dockerd", "unshare", "ip", "iptables") if shutil.which(program) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"an engine of our own needs root and {' and '.join(missing) or 'its programs'}")
    image = tmp_path_factory.mktemp("image") / "base.tar"
    with image.open("wb") as file:
        file.writelines(docker_client.images.get(stand_in("base")).save())
    # Two engines cannot share a folder of images.
    environment = {name: value for name, value in os.environ.items() if name != DATA_ROOT_VARIABLE}
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "tests.compose.own_engine", image],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_an_engine_of_our_own_runs_containers(own_engine: dict[str, Any]) -> None:
    """Containers reach each other by name, and a published port answers on 127.0.0.1."""
    assert own_engine["used"] == {"by_port": "served", "by_name": "served"}


@pytest.mark.slow
def test_an_engine_of_our_own_leaves_nothing(own_engine: dict[str, Any]) -> None:
    """After the stop there is no process, no link, no chain, no rule and no folder of it."""
    assert own_engine["during"] >= 2
    assert own_engine["changed"]
    assert own_engine["left"] == []
    assert own_engine["network"][0] == own_engine["network"][1]
    assert not own_engine["folder"]


def _reason() -> str:
    with pytest.raises(NoEngineError) as caught, engine():
        pass
    return str(caught.value)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """A machine on which a docker client reaches nothing."""
    monkeypatch.setattr(engines, "_running", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    return monkeypatch


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a docker client the reason says just that."""
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert _reason() == "there is no docker client"


def test_an_ordinary_user_is_told_so(silent: pytest.MonkeyPatch) -> None:
    """Only root can start an engine."""
    silent.setattr(os, "geteuid", lambda: 1000)
    assert _reason() == "no engine answers, and only root can start one"


def test_a_missing_daemon_is_named(silent: pytest.MonkeyPatch) -> None:
    """Root without dockerd is told what is missing."""
    silent.setattr(os, "geteuid", lambda: 0)
    silent.setattr(shutil, "which", lambda program: None if program == "dockerd" else program)
    assert _reason() == "no engine answers, and to start one dockerd is missing"


def test_a_second_engine_is_never_started_beside_one(silent: pytest.MonkeyPatch) -> None:
    """Two engines would take each other's bridge and rules away, so the running one is named instead."""
    silent.setattr(os, "geteuid", lambda: 0)
    silent.setattr(engines, "_rival", lambda: 4711)
    assert _reason() == "an engine runs (process 4711) but does not answer: name its socket in DOCKER_HOST"


def test_a_daemon_that_does_not_start_is_quoted(silent: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last lines of dockerd's log are the reason."""
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\necho the cgroups are not mounted\nexit 1\n")
    program.chmod(0o755)
    silent.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    silent.setattr(os, "geteuid", lambda: 0)
    silent.setattr(engines, "_rival", lambda: None)
    silent.setattr(State, "restore", lambda state: None)  # nothing came of it, and the network is not ours alone
    assert _reason() == "dockerd does not start: the cgroups are not mounted"


def test_the_network_of_an_engine_overlaps_none_that_is_there() -> None:
    """The first range that meets no address and no route is taken, and none when all are in use."""
    assert str(free_range(["172.30.4.0/24", "172.29.0.1/255.255.0.0"])) == "172.28.0.0/16"
    assert free_range(["172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"]) is None
