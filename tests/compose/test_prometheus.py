"""The Prometheus image of the compose stack, as its arguments promise."""

from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually


@pytest.fixture(scope="module")
def server(containers: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a configuration of its own, and arguments as the compose file gives them."""
    file: Path = tmp_path_factory.mktemp("prometheus") / "own.yml"
    file.write_text("global: {scrape_interval: 7s}\nscrape_configs: []\n")
    return containers.start(
        "prometheus",
        "--config.file=/etc/prometheus/own.yml",
        "--storage.tsdb.path=/prometheus",
        volumes=[f"{file}:/etc/prometheus/own.yml:ro"],
    )


def test_it_is_ready_by_wget_with_its_configuration(server: Any) -> None:
    """The health check's command is there, and the file that --config.file names is read."""
    eventually(lambda: server.succeeds("wget", "-q", "-O-", "http://localhost:9090/-/ready"), "it is ready", 60)
    assert "7s" in server.run("wget", "-q", "-O-", "http://localhost:9090/api/v1/status/config")[1]


def test_it_is_nobody_with_a_folder_to_write(server: Any) -> None:
    """The first process is not root, and it can write where --storage.tsdb.path says."""
    assert server.user() == 65534
    assert server.succeeds("touch", "/prometheus/written")
