"""The override that puts stand-ins in the place of a compose file's public images."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.compose.override import override

_PRODUCT = """
services:
  postgres:
    image: postgres:15.18
    command: [postgres, -c, wal_level=logical]
  cdc:
    build: {context: ., dockerfile: infra/images/Dockerfile, args: {BASE: "python:3.11-slim-bookworm", PART: cdc}}
    image: headwater/cdc
  topics:
    image: headwater/cdc
    command: [python, -m, cdc.create_topics]
  grafana:
    image: grafana/grafana:12.1.0
    profiles: [monitoring]
"""


def _tag(name: str) -> str:
    return f"headwater-test/{name}:1"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A compose file and its override."""
    product = tmp_path / "docker-compose.yml"
    product.write_text(_PRODUCT)
    over = tmp_path / "override.yml"
    over.write_text(override(product, _tag))
    return [product, over]


def test_compose_takes_the_override_and_keeps_the_rest(compose_command: tuple[str, ...], files: list[Path]) -> None:
    """Images and the base of our own are replaced; commands and other build arguments stay."""
    command = [*compose_command, *(word for file in files for word in ("-f", str(file))), "config"]
    merged = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["services"]
    assert merged["postgres"]["image"] == "headwater-test/postgres:1"
    assert merged["postgres"]["command"] == ["postgres", "-c", "wal_level=logical"]
    assert merged["cdc"]["build"]["args"] == {"BASE": "headwater-test/base:1", "PART": "cdc"}
    assert merged["cdc"]["build"]["dockerfile"] == "infra/images/Dockerfile"


def test_what_needs_no_stand_in_is_left_alone(files: list[Path]) -> None:
    """A service of an image that another builds, and one that only a profile starts, keep their images."""
    assert set(yaml.safe_load(files[1].read_text())["services"]) == {"postgres", "cdc"}


def test_a_service_that_would_be_pulled_is_named(tmp_path: Path) -> None:
    """A public image that nothing stands in for is an error, not a pull that hangs."""
    product = tmp_path / "docker-compose.yml"
    product.write_text("services: {redis: {image: 'redis:8'}}")
    with pytest.raises(LookupError, match=r"no stand-in for the service redis \(redis:8\)"):
        override(product, _tag)
