"""The stack in containers, brought up by one command, shown, killed piece by piece, and taken down to nothing.

The tests share one project and run in this order: Debezium first, then our own engine on the same data, then afresh.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import httpx
import psycopg
import pytest

from stack.ports import own_settings
from tests.compose.project import Project
from tests.posting import RATE, Poster, ids_in
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

Figure = Callable[[str, object], None]

RECOVERY_SECONDS = 120
RAW, FILTERED = "raw-event-headers", "filtered-car-created-events-flink"
BUILD_TOOLS = ("gcc", "cc", "make", "pip", "pip3", "uv", "git", "javac", "mvn")
COMMON = ("postgres", "kafka", "flink-jobmanager", "flink-taskmanager", "flink-job", "producer", "car-consumer")


@pytest.fixture(scope="module")
def project(
    compose_command: tuple[str, ...],
    compose_files: Sequence[Path],
    docker_client: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    """A project that is not up yet; nothing of it is left afterwards."""
    settings = own_settings(tmp_path_factory.mktemp("compose-state"))
    made = Project(f"headwater-{uuid4().hex[:8]}", compose_command, compose_files, docker_client, settings)
    try:
        yield made
    finally:
        down(made)


def down(project: Project) -> None:
    """Take everything down: containers, networks and volumes, whatever the profile."""
    everything = [part for name in ("debezium", "native", "monitoring") for part in ("--profile", name)]
    project.compose(*everything, "down", "--volumes", "--remove-orphans")


def demonstrated(project: Project) -> dict[str, Any]:
    """Run the demonstration against the project; return what it found."""
    done = project.headwater("demo", "--target", "compose", "--json", "--events", "80")
    logs = "" if done.returncode == 0 else project.compose("ps", "-a").stdout
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return dict(json.loads(done.stdout))


def killed_in_turn(project: Project, services: Sequence[str]) -> Poster:
    """Kill each service while events are posted, and wait until each is healthy again; return who posted."""
    poster = Poster(project.settings)
    with poster.posting():
        for service in services:
            poster.wait_for_more(RATE, RECOVERY_SECONDS)
            before = project.kill(service)
            eventually(
                lambda service=service, before=before: project.started(service) != before and project.healthy(service),
                f"{service} is healthy again",
                RECOVERY_SECONDS,
            )
        eventually(lambda: all(map(project.healthy, services)), "every service is healthy again", RECOVERY_SECONDS)
        poster.wait_for_more(RATE, RECOVERY_SECONDS)
    accepted = set(poster.accepted)
    for topic in (RAW, FILTERED):
        eventually(
            lambda topic=topic: accepted <= ids_in(project.settings, topic).keys(),
            f"every accepted event is in {topic}",
            RECOVERY_SECONDS,
        )
    return poster


def repeated(project: Project, poster: Poster, topic: str) -> int:
    """Return how many records of accepted events are in a topic beyond the first of each."""
    found = ids_in(project.settings, topic)
    return sum(found[each] - 1 for each in poster.accepted)


def test_one_command_brings_the_stack_up_and_the_demonstration_is_ok(project: Project) -> None:
    """`docker compose up` with the default profile, Debezium's; then every event arrives exactly once (CD-133)."""
    project.compose("up", "-d", "--build")
    found = demonstrated(project)
    assert (found["ok"], found["delivered"]) == (True, 80)
    services = project.containers()
    assert "connect" in services
    assert "cdc" not in services


def test_our_own_images_run_as_an_ordinary_user_and_hold_no_build_tools(project: Project) -> None:
    """Neither root nor a way to install anything; and the programs are there."""
    for service in ("producer", "car-consumer", "connect", "flink-job"):
        container = project.container(service)
        assert container.exec_run(["id", "-u"]).output.strip() == b"9999", service
        look = "for each in " + " ".join(BUILD_TOOLS) + "; do command -v $each; done; true"
        assert container.exec_run(["sh", "-c", look]).output == b"", service
        assert container.exec_run(["python3", "-m", "pip", "--version"]).exit_code != 0, service


def test_the_password_is_made_once_and_nowhere_to_be_read(project: Project) -> None:
    """Neither an environment nor a log nor Connect tells it; without it the database lets nobody in."""
    connect = project.container("connect")
    password = connect.exec_run(["cat", "/run/headwater/postgres-password"]).output.decode()
    assert len(password) >= 32
    for service, container in project.containers().items():
        assert password not in json.dumps(container.attrs), service
        assert password.encode() not in container.logs(), service
    port = project.settings.postgres_port
    wrong = f"postgresql://postgres:wrong@127.0.0.1:{port}/car_entities"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong, connect_timeout=5)
    psycopg.connect(wrong.replace("wrong", password), connect_timeout=5).close()
    told = httpx.get(f"{project.settings.connect_url}/connectors?expand=info").text
    assert "DEBEZIUM_DATABASE_PASSWORD" in told
    assert password not in told


def test_the_registry_keeps_schemas_over_a_restart(project: Project) -> None:
    """They are in Kafka, by Confluent's routes."""
    url = f"http://127.0.0.1:{project.ports['HEADWATER_SCHEMA_REGISTRY_PORT']}/apis/ccompat/v7"
    eventually(lambda: project.healthy("schema-registry"), "the registry is healthy", RECOVERY_SECONDS)
    schema = {"schema": json.dumps({"type": "record", "name": "r", "fields": [{"name": "f", "type": "string"}]})}
    made = httpx.post(f"{url}/subjects/test-value/versions", json=schema).raise_for_status().json()
    project.compose("restart", "schema-registry")
    eventually(lambda: project.healthy("schema-registry"), "the registry is healthy again", RECOVERY_SECONDS)
    kept = httpx.get(f"{url}/subjects/test-value/versions/latest").raise_for_status().json()
    assert (kept["id"], json.loads(kept["schema"])["name"]) == (made["id"], "r")


def test_whatever_is_killed_comes_back_and_no_event_is_missing_with_debezium(
    project: Project, record_property: Figure
) -> None:
    """Each container in turn under load: what was answered 200 is in the raw and the filtered topic (CD-110)."""
    poster = killed_in_turn(project, (*COMMON, "connect"))
    repeats = {topic: repeated(project, poster, topic) for topic in (RAW, FILTERED)}
    told = f"Debezium in containers, 8 kills: {len(poster.accepted)} events, 0 lost, repeated {repeats}"
    record_property("figure", told)


def test_our_own_engine_takes_over_the_slot(project: Project) -> None:
    """By the commands of docs/compose.md: nothing is lost, and what comes twice is said."""
    before = ids_in(project.settings, RAW)
    handed = project.compose("run", "--rm", "connector", "python", "-m", "cdc.debezium", "to-native")
    assert "our own engine goes on at" in handed.stdout
    project.compose("stop", "connect")
    project.compose("--profile", "native", "up", "-d")
    choice = "from cdc import compiled; print(compiled.AVAILABLE)"
    assert project.container("cdc").exec_run(["python", "-c", choice]).output == b"True\n"
    found = demonstrated(project)
    assert (found["ok"], found["delivered"]) == (True, 80)
    after = ids_in(project.settings, RAW)
    assert before.keys() < after.keys()
    assert {each: after[each] for each in before} == dict(before)


def test_whatever_is_killed_comes_back_and_nothing_comes_twice_with_our_own_engine(
    project: Project, record_property: Figure
) -> None:
    """Engine, database and broker in turn under load: each accepted event once in the raw topic (CD-110)."""
    poster = killed_in_turn(project, ("cdc", "postgres", "kafka", "cdc"))
    assert repeated(project, poster, RAW) == 0
    repeats = repeated(project, poster, FILTERED)
    told = f"{len(poster.accepted)} events, 0 lost, 0 repeated in the raw topic, {repeats} in the filtered one"
    record_property("figure", f"our own engine in containers, 4 kills: {told}")


def test_prometheus_reads_the_engine_and_flink(project: Project) -> None:
    """The profile `monitoring`: every target of the engine in service is up, and the rules can be evaluated."""
    project.compose("--profile", "native", "--profile", "monitoring", "up", "-d", "prometheus")
    url = f"http://127.0.0.1:{project.ports['HEADWATER_PROMETHEUS_PORT']}/api/v1"

    def up() -> bool:
        try:
            targets = httpx.get(f"{url}/targets").raise_for_status().json()["data"]["activeTargets"]
        except httpx.HTTPError:
            return False
        wanted = {"cdc:8083", "flink-jobmanager:9249", "flink-taskmanager:9249"}
        return wanted <= {each["labels"]["instance"] for each in targets if each["health"] == "up"}

    eventually(up, "the targets are up", RECOVERY_SECONDS)
    eventually(lambda: _states(url) == {"ok"}, "the rules are evaluated", 60)


def _states(url: str) -> set[str]:
    groups = httpx.get(f"{url}/rules").raise_for_status().json()["data"]["groups"]
    return {rule["health"] for group in groups for rule in group["rules"]}


def test_nothing_is_left_after_down(project: Project) -> None:
    """Containers, network and volumes are gone."""
    assert project.remains()
    down(project)
    assert project.remains() == []


def test_our_own_engine_serves_a_stack_of_its_own(project: Project) -> None:
    """`docker compose --profile native up` from nothing; then every event arrives exactly once."""
    project.compose("--profile", "native", "up", "-d")
    found = demonstrated(project)
    assert (found["ok"], found["delivered"]) == (True, 80)
    assert "connect" not in project.containers()
    down(project)
    assert project.remains() == []


def test_the_file_is_valid_for_the_client_at_hand(project: Project) -> None:
    """`docker compose config`, with every profile."""
    done: subprocess.CompletedProcess[str] = project.compose("--profile", "monitoring", "config", "--quiet")
    assert done.stdout == ""
