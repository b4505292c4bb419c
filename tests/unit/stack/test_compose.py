"""The command's view of the stack in containers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from rich.console import Console
from yaml import safe_load

from stack import compose
from stack.errors import StackError
from stack.ports import own_settings
from stack.settings import StackSettings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of docker-compose.yml."""
    return dict(safe_load((ROOT / "docker-compose.yml").read_text())["services"])


def test_containers_that_are_not_there_are_named_with_the_remedy(tmp_path: Path) -> None:
    """Whoever forgot `docker compose up` is told so."""
    settings = own_settings(tmp_path)
    with pytest.raises(StackError) as caught:
        compose.wait_until_ready(settings, Console(quiet=True), seconds=0)
    assert "kafka, connect or cdc, flink-job, producer" in caught.value.problem
    assert "docker compose up -d" in caught.value.remedy


def test_the_file_follows_the_compose_specification() -> None:
    """The schema beside this test is the specification's own (compose-spec, Apache License 2.0)."""
    schema = json.loads((ROOT / "tests" / "unit" / "stack" / "compose-spec.json").read_text())
    faults = Draft7Validator(schema).iter_errors(safe_load((ROOT / "docker-compose.yml").read_text()))
    assert [fault.message for fault in faults] == []


def test_every_image_has_a_pinned_tag(services: dict[str, Any]) -> None:
    """No `latest`, spoken or unspoken (CD-131)."""
    for name, service in services.items():
        _image, colon, tag = service["image"].rpartition(":")
        assert colon, name
        assert re.match(r"v?[0-9]+\.[0-9]", tag), name


def test_nothing_is_published_beyond_the_loopback_interface(services: dict[str, Any]) -> None:
    """Every port names it, and every host port can be set by a variable; those of the command are its own (CD-132)."""
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert len(published) >= 8
    assert all(port.startswith("127.0.0.1:${HEADWATER_") for port in published)
    defaults = {port.split("{", 1)[1].split(":-")[0]: int(port.split(":-")[1].split("}")[0]) for port in published}
    known = {variable: port for variable, port in StackSettings().ports.items() if variable in defaults}
    assert known == {variable: port for variable, port in defaults.items() if variable in known}
    assert len(known) == 7


def test_every_service_is_waited_for_by_its_health(services: dict[str, Any]) -> None:
    """Each has a health check, but for steps that end; nobody waits for a mere start (CD-131)."""
    for name, service in services.items():
        assert ("healthcheck" in service) != (service["restart"] == "no"), name
        for other, how in service.get("depends_on", {}).items():
            ends = services[other]["restart"] == "no"
            wanted = "service_completed_successfully" if ends else "service_healthy"
            assert how["condition"] == wanted, (name, other)


def test_consumers_know_kafka_and_the_registry_and_never_flink(services: dict[str, Any]) -> None:
    """Neither their variables nor what they wait for names it (FL-89)."""
    consumers = {name: service for name, service in services.items() if name.endswith("-consumer")}
    assert len(consumers) == 4
    for name, service in consumers.items():
        assert not [variable for variable in service["environment"] if "FLINK" in variable], name
        assert not [other for other in service["depends_on"] if "flink" in other], name


def test_one_variable_chooses_the_form_of_values_for_every_part(services: dict[str, Any]) -> None:
    """Engine, connector (which refuses Avro) and Flink job are told the same; readers tell by the records."""
    chosen = "${HEADWATER_VALUE_FORMAT:-json}"
    assert services["cdc"]["environment"]["CDC_FORMAT"] == chosen
    assert services["connector"]["environment"]["CDC_FORMAT"] == chosen
    assert services["flink-job"]["environment"]["FLINK_VALUE_FORMAT"] == chosen
    readers = [service for name, service in services.items() if name.endswith("-consumer") or name == "flink-job"]
    assert {each["environment"]["SCHEMA_REGISTRY_URL"] for each in readers} == {
        services["cdc"]["environment"]["CDC_SCHEMA_REGISTRY_URL"]
    }


def test_no_secret_stands_in_the_file(services: dict[str, Any]) -> None:
    """A variable that names a password, key or secret holds the path of a file (CD-65)."""
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if any(word in variable for word in ("PASSWORD", "SECRET", "KEY")):
                assert str(value).startswith("/run/headwater/"), (name, variable)
        assert "password" not in str(service.get("environment", {}).get("DATABASE_URL", "")), name
        assert "@postgres" in str(service.get("environment", {}).get("DATABASE_URL", "@postgres")), name


def test_our_own_programs_give_up_their_privileges(services: dict[str, Any]) -> None:
    """What we build has no capability and can gain none."""
    ours = {name: service for name, service in services.items() if service["image"].startswith("headwater-")}
    assert len(ours) >= 12
    for name, service in ours.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_what_an_image_copies_is_not_kept_from_the_build() -> None:
    """The list of what goes into an image names each file and folder that its recipe takes."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    recipe = (ROOT / "infra" / "images" / "Dockerfile").read_text()
    steps = re.findall(r"^COPY (?!--from)(.+) \S+$", recipe, re.MULTILINE)
    copied = {source for step in steps for source in step.split()}
    assert len(copied) >= 10
    missing = {each for each in copied if not any(each == name or each.startswith(f"{name}/") for name in allowed)}
    assert missing == set()
