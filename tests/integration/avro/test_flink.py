"""The Flink job on Avro: what it reads, what it keeps as dead letters, what it waits for, what it refuses."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import uuid4

import fastavro
import httpx
import pytest

from tests.integration.avro.conftest import COLUMNS, framed, header, raw_schema
from tests.integration.flink_jobs.stage import BASES, Stage, eventually
from tests.registry import Door, RunningRegistry

CARS = "filtered-car-created-events"


def decoded(registry: RunningRegistry, value: bytes) -> Any:
    """Return the fields of a framed record, read by the schema it names."""
    assert value[:1] == b"\0"
    schema = json.loads(registry.get(f"/schemas/ids/{int.from_bytes(value[1:5], 'big')}")["schema"])
    return fastavro.schemaless_reader(BytesIO(value[5:]), schema, None)


def cars(stage: Stage, registry: RunningRegistry) -> dict[str, Any]:
    """Return what the topic of cars holds, by id; the key of each record is its id."""
    found = {}
    for message in stage.read(stage.filtered(CARS)):
        fields = decoded(registry, bytes(message.value() or b""))
        assert message.key() == fields["id"].encode()
        found[fields["id"]] = fields
    return found


def test_headers_pass_and_broken_records_are_kept_byte_exact(
    avro_stage: Callable[..., Stage], registry: RunningRegistry, door: Door
) -> None:
    """A header comes out as it went in; what is no record of its schema is a dead letter with its reason (FL-49)."""
    stage = avro_stage(door.url)
    stage.create_topics(*BASES)
    schema = raw_schema()
    number = registry.register(f"{stage.raw}-value", schema)
    door.schemas = {7001: {"schema": '"string"'}, 7002: {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"}}
    door.schemas[7003] = {"schema": '{"type": "recor'}
    document = registry.register(
        f"{uuid4().hex}-value",
        json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}),
        schemaType="JSON",
    )
    nested = raw_schema(event_type=["null", {"type": "array", "items": "string"}])
    arrays = registry.register(f"{uuid4().hex}-value", nested)
    texts = raw_schema(__ts_ms="string", event_name=["null", "int"])
    numbers = registry.register(f"{uuid4().hex}-value", texts)
    whole = framed(number, schema, header("whole"))
    head = whole[:5]
    garbage = {
        b"": b"no zero byte",
        b"\0\0\0": b"no zero byte",
        json.dumps(header("plain")).encode(): b"no zero byte",
        b"\0\x7f\xff\xff\xff" + whole[5:]: b"the schema registry has no schema 2147483647",
        b"\0" + (7001).to_bytes(4, "big") + b"\x02a": b"schema 7001 is not of a record",
        b"\0" + document.to_bytes(4, "big") + b"{}": b"is one of JSON",
        b"\0" + (7002).to_bytes(4, "big") + b"x": b"schema 7002 is one of PROTOBUF",
        b"\0" + (7003).to_bytes(4, "big") + b"x": b"schema 7003 cannot be used",
        whole[:-3]: b"a length of",
        whole + b"\0": b"more than one value",
        # A text of two gigabytes, says its length: what trusts it ends the process.
        head + b"\x02\xfe\xff\xff\xff\x0fabc": b"a length of 2147483647",
        head + b"\x02\x04\xff\xfe": b"not Avro of schema",
        head + b"\x0e": b"not Avro of schema",
        head + b"\xff" * 11: b"more than ten bytes",
        framed(number, schema, header("", id=None)): b"field id is missing",
        framed(number, schema, header("")): b"field id is missing",
        framed(arrays, nested, header("list", event_type=["CarCreated"])): b"field event_type is not a plain value",
        framed(numbers, texts, header("when", __ts_ms="soon", event_name=None)): b"__ts_ms is not a whole number",
    }
    stage.submit()
    stage.produce([whole, *garbage, None, framed(number, schema, header("last"))])
    eventually(lambda: {"whole", "last"} <= cars(stage, registry).keys(), "both are through")
    assert cars(stage, registry)["whole"] == {name: header("whole")[name] for name in COLUMNS}
    eventually(lambda: len(stage.read(stage.dead)) >= len(garbage), "all dead letters are there")
    letters = {letter.value(): dict(letter.headers() or []) for letter in stage.read(stage.dead)}
    assert letters.keys() == garbage.keys()
    for value, reason in garbage.items():
        assert reason in letters[value]["dlq-reason"], letters[value]
    assert json.loads(stage.run("status", "--json").stdout)["state"] == "RUNNING"


def test_a_reader_that_knows_the_topic_alone_finds_the_schema(
    avro_stage: Callable[..., Stage], registry: RunningRegistry
) -> None:
    """Each filtered topic has a subject of its name, BACKWARD, with the one schema that its records name (FL-53)."""
    stage = avro_stage(registry.url)
    stage.create_topics(*BASES)
    schema = raw_schema()
    number = registry.register(f"{stage.raw}-value", schema)
    stage.submit()
    stage.produce([framed(number, schema, header("one"))])
    eventually(lambda: cars(stage, registry), "it is through")
    (message,) = stage.read(stage.filtered(CARS))
    used = int.from_bytes(bytes(message.value() or b"")[1:5], "big")
    subjects = ["headwater.FilteredEventHeader", *(f"{stage.filtered(base)}-value" for base in BASES[:4])]
    for subject in subjects:
        assert registry.get(f"/subjects/{subject}/versions/latest")["id"] == used
        assert registry.get(f"/subjects/{subject}/versions") == [1]
        assert registry.get(f"/config/{subject}")["compatibilityLevel"] == "BACKWARD"


def test_an_incompatible_subject_refuses_the_submission_before_anything_runs(
    avro_stage: Callable[..., Stage], registry: RunningRegistry
) -> None:
    """The error names subject and reason; no job was submitted and no other subject got a version."""
    stage = avro_stage(registry.url)
    stage.create_topics(*BASES)
    taken = f"{stage.filtered('filtered-service-events')}-value"
    registry.register(taken, '{"type":"record","name":"Other","fields":[{"name":"id","type":"int"}]}')
    refused = stage.run("submit")
    assert refused.returncode == 1
    assert taken in refused.stderr
    assert "Nothing was submitted" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert stage.jobs() == []
    assert httpx.get(f"{registry.url}/subjects/{stage.filtered(CARS)}-value/versions").status_code == 404
    registry.put(f"/config/{taken}", {"compatibility": "NONE"})
    stage.submit()


@pytest.mark.parametrize("status", [None, 503, 401])
def test_a_registry_that_does_not_answer_makes_the_job_wait_and_nothing_a_dead_letter(
    avro_stage: Callable[..., Stage], registry: RunningRegistry, door: Door, status: int | None
) -> None:
    """Connections refused, 503 and even a refusal of our credentials: the record comes out once it is back (FL-49)."""
    stage = avro_stage(door.url)
    stage.create_topics(*BASES)
    schema = raw_schema(extra=["null", {"type": "enum", "name": f"E{uuid4().hex}", "symbols": ["A"]}])
    number = registry.register(f"{stage.raw}-value", schema)
    stage.submit()
    if status is None:
        door.shut()
    door.status = status
    stage.produce([framed(number, schema, header("waits", extra="A"))])
    # Its tasks end and start again, for as long as it takes.
    eventually(lambda: _restarts(stage) >= 2, "the job has started again twice")
    assert stage.read(stage.dead) == []
    assert cars(stage, registry) == {}
    door.status = None
    if status is None:
        door.open()
    eventually(lambda: "waits" in cars(stage, registry), "the record is through")
    assert stage.read(stage.dead) == []


def _restarts(stage: Stage) -> int:
    (job,) = stage.jobs()
    metric = httpx.get(f"{stage.rest_url}/jobs/{job.id}/metrics", params={"get": "numRestarts"}).json()
    return int(metric[0]["value"]) if metric else 0


def test_credentials_are_sent_and_shown_nowhere(
    avro_stage: Callable[..., Stage], registry: RunningRegistry, door: Door
) -> None:
    """Parser, writer and submission send them; Flink's page, the script and the log hold none of them."""
    secret = "open-sesame-9"
    given = json.dumps({"basic.auth.user.info": f"me:{secret}"})
    stage = avro_stage(door.url, SCHEMA_REGISTRY_CONFIG=given)
    stage.create_topics(*BASES)
    schema = raw_schema()
    number = registry.register(f"{stage.raw}-value", schema)
    submitted = stage.run("submit")
    assert submitted.returncode == 0, submitted.stderr
    stage.produce([framed(number, schema, header("mine"))])
    eventually(lambda: cars(stage, registry), "it is through")
    assert set(door.authorizations) == {"Basic bWU6b3Blbi1zZXNhbWUtOQ=="}
    (job,) = stage.jobs()
    shown = [httpx.get(f"{stage.rest_url}/jobs/{job.id}{path}").text for path in ("", "/config", "/plan")]
    script = stage.run("sql").stdout
    assert "'value.avro-confluent.basic-auth.user-info' = '******'" in script
    for text in (*shown, script, submitted.stdout, submitted.stderr):
        assert secret not in text
