"""What the tests of the path in Avro share: a real registry, a door before it, and a Flink stage that uses it."""

import json
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from stack import maven
from stack.local import LocalStack
from stack.settings import StackSettings
from tests.integration.flink_jobs.stage import Stage
from tests.registry import Door, RunningRegistry, registries

COLUMNS = ("id", "event_name", "event_type", "created_date", "saved_date", "header_data", "__op", "__table")


def raw_schema(**changes: Any) -> str:
    """Return the schema of raw records as the engine derives it; `changes` add a field or give one another type."""
    nullable = ("id", "event_name", "event_type", "created_date", "saved_date", "header_data")
    types: dict[str, Any] = {name: ["null", "string"] for name in nullable}
    types |= {"__op": "string", "__table": "string", "__ts_ms": "long", "__deleted": "string"} | changes
    fields = [
        {"name": name, "type": kind, **({"default": None} if isinstance(kind, list) else {})}
        for name, kind in types.items()
    ]
    return json.dumps({"type": "record", "name": "Value", "namespace": "public.event_headers", "fields": fields})


def framed(schema_id: int, schema: str, fields: Mapping[str, Any]) -> bytes:
    """Return a value in Confluent's wire format."""
    buffer = BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(json.loads(schema)), dict(fields))
    return b"\0" + schema_id.to_bytes(4, "big") + buffer.getvalue()


def header(event_id: str, **changes: Any) -> dict[str, Any]:
    """Return the fields of a raw record."""
    return {
        "id": event_id,
        "event_name": "Car Created",
        "event_type": "CarCreated",
        "created_date": "2026-11-21T10:00:00.123456Z",
        "saved_date": None,
        "header_data": '{"uuid": "x", "text": "Grüße\\n\\"\U0001f600"}',
        "__op": "c",
        "__table": "event_headers",
        "__ts_ms": 1795255200000,
        "__deleted": "false",
        **changes,
    }


@pytest.fixture(scope="session")
def new_registry(stack_settings: StackSettings) -> Iterator[Callable[[], RunningRegistry]]:
    """A maker of registries that are not started yet."""
    with registries(stack_settings.cache_dir) as make:
        yield make


@pytest.fixture(scope="session")
def registry(new_registry: Callable[[], RunningRegistry]) -> RunningRegistry:
    """The registry of the session."""
    made = new_registry()
    made.start()
    return made


@pytest.fixture
def door(registry: RunningRegistry) -> Iterator[Door]:
    """An open door before the registry."""
    made = Door(registry.url)
    made.open()
    yield made
    made.shut()


@pytest.fixture
def avro_stage(
    kafka_bootstrap: str, flink_rest_url: str, local_stack: LocalStack, tmp_path: Path
) -> Iterator[Callable[..., Stage]]:
    """A maker of Flink stages with Avro values; what runs under their names ends with the test."""
    cache = local_stack.settings.cache_dir
    maven.fetch(maven.missing(("flink-avro",), cache), cache, maven.silent)
    made: list[Stage] = []

    def make(url: str, **settings: str) -> Stage:
        given = {
            "cache": str(cache),
            "FLINK_VALUE_FORMAT": "avro",
            "FLINK_AVRO_JARS": str(maven.class_path("flink-avro", cache)[0]),
            "SCHEMA_REGISTRY_URL": url,
        }
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Stage(kafka_bootstrap, flink_rest_url, folder, settings=given | settings))
        return made[-1]

    yield make
    for stage in made:
        stage.stop()


@pytest.fixture
def json_stage(kafka_bootstrap: str, flink_rest_url: str, local_stack: LocalStack, tmp_path: Path) -> Iterator[Stage]:
    """A Flink stage with JSON values, to compare with."""
    folder = tmp_path / "json"
    folder.mkdir()
    made = Stage(kafka_bootstrap, flink_rest_url, folder, settings={"cache": str(local_stack.settings.cache_dir)})
    yield made
    made.stop()
