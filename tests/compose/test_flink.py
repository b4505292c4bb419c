"""The Flink image of the compose stack, as its variables promise."""

import json
from typing import Any

import httpx
import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.slow

_PROPERTIES = "jobmanager.rpc.address: flink-jobmanager\ntaskmanager.numberOfTaskSlots: 3\n"


@pytest.fixture(scope="module")
def manager(containers: Any) -> Any:
    """A JobManager, which may not answer yet."""
    given = {"FLINK_PROPERTIES": _PROPERTIES + "  rest.flamegraph.enabled :  true \n\n"}
    return containers.start("flink", "jobmanager", name="flink-jobmanager", environment=given, publish=(8081,))


@pytest.fixture(scope="module")
def worker(containers: Any, manager: Any) -> Any:
    """A TaskManager of that JobManager, started as root."""
    return containers.start("flink", "taskmanager", user="root", environment={"FLINK_PROPERTIES": _PROPERTIES})


def _answer(manager: Any, path: str) -> Any:
    try:
        return httpx.get(f"http://{manager.address(8081)}{path}", timeout=5).raise_for_status().json()
    except httpx.HTTPError:
        return None


def test_a_taskmanager_joins_with_the_slots_asked_for(manager: Any, worker: Any) -> None:
    """Both processes find each other by name and read FLINK_PROPERTIES."""
    eventually(lambda: (_answer(manager, "/overview") or {}).get("slots-total") == 3, "three slots", 120)


def test_properties_are_in_the_configuration(manager: Any) -> None:
    """Each line is an option, blanks around it do not count; the REST port listens on every address."""
    given = eventually(lambda: _answer(manager, "/jobmanager/config"), "the JobManager answers", 120)
    options = {each["key"]: each["value"] for each in given}
    assert options["rest.flamegraph.enabled"] == "true"
    assert options["rest.bind-address"] == "0.0.0.0"  # noqa: S104
    assert options["blob.server.port"] == "6124"


def test_a_health_check_has_curl(manager: Any) -> None:
    """The image has a client for its own REST interface."""
    eventually(lambda: manager.succeeds("curl", "-fsS", "http://localhost:8081/overview"), "curl answers", 120)
    assert json.loads(manager.run("curl", "-fsS", "http://localhost:8081/config")[1])["flink-version"] == "2.2.1"


def test_the_process_is_flink_9999(manager: Any) -> None:
    """The first process is not root."""
    assert manager.user() == 9999


@pytest.mark.usefixtures("imitation")
def test_root_becomes_flink(worker: Any) -> None:
    """Started as root, the process is the image's own account nevertheless."""
    eventually(lambda: worker.user() == 9999, "the account is flink")


@pytest.mark.usefixtures("imitation")
@pytest.mark.parametrize(
    ("command", "properties", "reason"),
    [
        ("standalone-job", "", "standalone-job is not imitated"),
        ("jobmanager", "state.dir: $HOME", "variables inside of FLINK_PROPERTIES are not imitated: state.dir"),
    ],
)
def test_what_is_not_imitated_is_refused(containers: Any, command: str, properties: str, reason: str) -> None:
    """The container stops and says why."""
    refused = containers.start("flink", command, environment={"FLINK_PROPERTIES": properties})
    assert refused.exit_status() == 1
    assert reason in refused.log()
