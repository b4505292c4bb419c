"""The job by a real Flink SQL gateway, as its REST clients submit it (FL-58)."""

import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import schemas
from stack import flink, java, maven
from stack.local import LocalStack
from stack.ports import free_ports

Record = Callable[..., bytes]
Wait = Callable[..., Any]

CARS = "filtered-car-created-events"
BASES = tuple(topic.name.removesuffix("-flink") for topic in schemas.topics() if topic.name.startswith("filtered-"))
BUNDLE = "flink-sql-gateway"


@pytest.fixture(scope="module")
def gateway(
    local_stack: LocalStack, flink_rest_url: str, wait_for: Wait, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A SQL gateway of the cluster of the tests; its class path has Flink and nothing of ours. Its address."""
    cache = local_stack.settings.cache_dir
    maven.fetch(maven.missing((BUNDLE,), cache), cache, maven.silent)
    folder = tmp_path_factory.mktemp("gateway")
    (port,) = free_ports(1)
    options = {
        "rest.address": "127.0.0.1",
        "rest.port": local_stack.settings.flink_port,
        "execution.target": "remote",
        "sql-gateway.endpoint.rest.address": "127.0.0.1",
        "sql-gateway.endpoint.rest.port": port,
        "io.tmp.dirs": str(folder),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    home = Path(next(iter(find_spec("pyflink").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    flink_itself = sorted((home / "lib").glob("*.jar"))
    planner = flink_itself, maven.class_path(BUNDLE, cache)
    command = java.command(
        tuple(jar for jars in planner for jar in jars),
        "org.apache.flink.table.gateway.SqlGateway",
        options=(*java.SMALL, "-Xmx384m", *flink._OPENED),
        arguments=(),
    )
    environment = {"FLINK_CONF_DIR": str(folder), "FLINK_HOME": str(home), "PATH": "/usr/bin:/bin"}
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/info", timeout=2).is_success
        except httpx.HTTPError:
            return False

    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: answers() or process.poll() is not None, "the gateway answers")
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            yield url
        finally:
            process.terminate()
            process.wait(30)


def test_the_gateway_runs_the_same_job_and_nothing_is_lost_when_it_changes_hands(
    stage: Any, gateway: str, record: Record, wait_for: Wait
) -> None:
    """Exit 0 when all of it runs, under the id that is known; the raw topic is read once (FL-48, FL-58)."""
    stage.create_topics(*BASES)
    done = stage.run("submit", "--gateway", gateway)
    assert done.returncode == 0, done.stderr
    (job,) = stage.jobs()
    assert job.runs_whole
    assert job.id in done.stdout
    steps = " ".join(stage.steps(job.id))
    assert steps.count("Source: raw-event-headers-bytes") == 1, steps
    stage.produce([record("one"), b"{broken"])
    wait_for(lambda: stage.ids(stage.filtered(CARS)) == ["one"], "it routes")
    wait_for(lambda: [letter.value() for letter in stage.read(stage.dead)] == [b"{broken"], "and keeps what is broken")
    for arguments, value in (((), "two"), (("--gateway", gateway), "three"), ((), "four")):
        stage.produce([record(f"before-{value}")])
        assert stage.run("submit", *arguments, FLINK_PARALLELISM=str(1 + len(arguments))).returncode == 0
        stage.produce([record(value)])
        wait_for(lambda value=value: value in stage.ids(stage.filtered(CARS)), "the next job routes")
        wait_for(
            lambda value=value: f"before-{value}" in stage.ids(stage.filtered(CARS)), "what was on its way as well"
        )
    assert sorted(each.state for each in stage.jobs()) == ["FINISHED", "FINISHED", "FINISHED", "RUNNING"]


def test_what_the_gateway_refuses_is_told_and_the_old_job_runs_on(
    stage: Any, gateway: str, record: Record, wait_for: Wait
) -> None:
    """Exit 1 with the root cause; a gateway that is not there is known before anything stops (FL-58, FL-74)."""
    stage.create_topics(*BASES)
    stage.submit()
    (before,) = stage.jobs()
    nobody = stage.run("submit", "--gateway", "http://127.0.0.1:9", FLINK_PARALLELISM="1")
    assert nobody.returncode == 1
    assert "no answer from the SQL gateway at http://127.0.0.1:9" in nobody.stderr
    assert [each.id for each in stage.jobs()] == [before.id]
    stage.settings["CDC_TOPIC"] = f"{stage.raw}-that-is-not-there"
    failed = stage.run("submit", "--gateway", gateway, "--timeout", "10")
    assert failed.returncode == 1
    assert "UnknownTopicOrPartitionException" in failed.stderr
    assert "runs on" in failed.stderr
    running = wait_for(stage.whole, "the old plan runs")
    assert running.id != before.id
    stage.produce([record("one")])
    wait_for(lambda: stage.ids(stage.filtered(CARS)) == ["one"], "it routes")


def test_a_job_with_transactions_does_not_go_by_a_gateway(stage: Any, gateway: str) -> None:
    """Nobody else could commit what its checkpoints hold: refused before anything stops (FL-47)."""
    stage.create_topics(*BASES)
    refused = stage.run("submit", "--gateway", gateway, FLINK_DELIVERY="exactly-once")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == "exactly-once does not go by a SQL gateway; submit without --gateway"
    assert stage.jobs() == []
