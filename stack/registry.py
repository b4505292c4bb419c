"""Owns the schema registry of the local stack, Apicurio Registry from Maven Central: its archive and its process.

It speaks Confluent's interface below `/apis/ccompat/v7`; Confluent's own registry is not on Maven Central. Schemas live
in a Kafka topic, so they stay as long as the records that name them. Must never register a schema. Source of facts:
Apicurio Registry 3 documentation, "Configuring storage".
"""

import hashlib
import shutil
import tarfile
from pathlib import Path
from typing import Final

import httpx

from stack import java
from stack.errors import StackError
from stack.maven import central
from stack.service import Service
from stack.settings import HOST, StackSettings

SERVICE: Final = "schema-registry"

_VERSION: Final = "3.3.3"
_SHA256: Final = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
_TOPIC: Final = "schema-registry"
_HEAP: Final = ("-Xms64m", "-Xmx256m")


def program(cache: Path) -> Path:
    """Return the folder of the registry's program; `unpacked` has brought it."""
    return cache / f"apicurio-registry-{_VERSION}"


def unpacked(cache: Path) -> Path:
    """Return the folder of the registry's program, fetched and verified the first time.

    Raises:
        StackError: It cannot be had, or its bytes are not the ones expected.
    """
    folder = program(cache)
    if folder.exists():
        return folder
    # A folder of its own until it is whole, so that a cut download is never mistaken for a program.
    partial = cache / "partial" / folder.name
    shutil.rmtree(partial, ignore_errors=True)
    component = central(partial / "repository").project("io.apicurio", "apicurio-registry-app").at_version(_VERSION)
    try:
        archive = component.artifact(classifier="all", packaging="tar.gz").resolve()
    except (RuntimeError, OSError) as error:
        raise StackError(
            f"Cannot fetch the schema registry from Maven Central ({type(error).__name__}).",
            "Check the network and run the command again, or set HEADWATER_REGISTRY_URL to a registry that runs.",
        ) from error
    with archive.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != _SHA256:
        raise StackError(
            f"The schema registry's archive has sha256 {found}, expected {_SHA256}.",
            "Somebody between Maven Central and this machine changed the file; do not use that connection.",
        )
    with tarfile.open(archive) as content:
        content.extractall(partial / "program", filter="data")
    (partial / "program").replace(folder)
    shutil.rmtree(partial)
    return folder


def environment(port: int, bootstrap: str | None) -> dict[str, str]:
    """Return what the program is told: its port, and the broker that keeps its schemas; with None, memory does."""
    storage = {
        "APICURIO_STORAGE_KIND": "kafkasql",
        "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": bootstrap or "",
        "APICURIO_KAFKASQL_TOPIC": _TOPIC,
    }
    return {
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(port),
        # Nobody asks there; 0 takes any free port.
        "QUARKUS_MANAGEMENT_HOST": HOST,
        "QUARKUS_MANAGEMENT_PORT": "0",
        **(storage if bootstrap else {}),
    }


def command(cache: Path) -> tuple[str, ...]:
    """Return the command line of the program."""
    jar = program(cache) / "quarkus-run.jar"
    return (str(java.JAVA_HOME / "bin" / "java"), *java.SMALL, *_HEAP, "-XX:TieredStopAtLevel=1", "-jar", str(jar))


def service(settings: StackSettings) -> Service:
    """Describe the registry; it is ready when its interface answers."""

    def ready() -> bool:
        try:
            return httpx.get(f"{settings.own_registry_url}/subjects", timeout=3).is_success
        except httpx.HTTPError:
            return False

    return Service(
        name=SERVICE,
        command=command(settings.cache_dir),
        environment={
            **environment(settings.schema_registry_port, settings.kafka_bootstrap),
            # As in Confluent's: a new version of a schema must read the records of the one before.
            "APICURIO_RULES_GLOBAL_COMPATIBILITY": "BACKWARD",
        },
        ready=ready,
        stop_seconds=10,
        endpoint=settings.own_registry_url,
    )
