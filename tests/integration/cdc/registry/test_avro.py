"""The engine with `CDC_FORMAT=avro` against a real registry: ids, evolution, refusal and cure, absence."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any
from uuid import uuid4

import fastavro
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from pydantic import SecretStr

from cdc.errors import Kind
from cdc.registry import IncompatibleSchemaError, Registry, RegistryError
from cdc.settings import Settings
from cdc.watch.diagnosis import Severity
from cdc.watch.doctor import diagnose


def schema_of(*fields: tuple[str, Any]) -> dict[str, Any]:
    """Return a record of nullable fields."""
    made = [{"name": name, "type": ["null", kind], "default": None} for name, kind in fields]
    return {"type": "record", "namespace": "public.t", "name": "Value", "fields": made}


class Topic:
    """What a topic of Avro records holds, as a reader with the registry sees it."""

    def __init__(self, topic: Any, registry: Any) -> None:
        self._topic = topic
        self._registry = registry
        self._schemas: dict[int, Any] = {}

    def messages(self) -> list[Message]:
        """Return every record, partition by partition."""
        reader = Consumer({
            "bootstrap.servers": self._topic.bootstrap,
            "group.id": uuid4().hex,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        })  # fmt: skip
        reader.assign([TopicPartition(self._topic.name, n, OFFSET_BEGINNING) for n in range(self._topic.partitions)])
        found, left = [], set(range(self._topic.partitions))
        while left:
            message = reader.poll(10)
            assert message is not None, "the broker does not answer"
            if message.error() is not None:
                left.discard(message.partition())
            else:
                found.append(message)
        reader.close()
        return found

    def rows(self, reader: Any = None) -> dict[str, dict[str, Any]]:
        """Return the last value of each id, read with the writer's schema or with `reader`."""
        return {value["id"]: value for value in self.values(reader)}

    def values(self, reader: Any = None) -> list[dict[str, Any]]:
        """Return every value that is no tombstone."""
        return [self.decode(bytes(each.value()), reader) for each in self.messages() if each.value() is not None]

    def decode(self, data: bytes, reader: Any = None) -> Any:
        """Return a record of the wire format."""
        assert data[0] == 0
        number = int.from_bytes(data[1:5], "big")
        if number not in self._schemas:
            self._schemas[number] = json.loads(self._registry.get(f"/schemas/ids/{number}")["schema"])
        return fastavro.schemaless_reader(BytesIO(data[5:]), self._schemas[number], reader)

    def versions(self) -> list[int]:
        """Return the versions of the values' subject."""
        found: list[int] = self._registry.get(f"/subjects/{self._topic.name}-value/versions")
        return found

    def latest(self) -> Any:
        """Return the newest schema of the values."""
        return json.loads(self._registry.get(f"/subjects/{self._topic.name}-value/versions/latest")["schema"])


def test_a_table_evolves_is_refused_and_goes_on(
    database: Any, topic: Any, registry: Any, launch: Callable[..., Any], wait_until: Callable[..., Any], slot: str
) -> None:
    """ADD COLUMN is version 2 and old records decode by it; a changed type stops, named, and goes on when allowed."""
    settings = {"CDC_FORMAT": "avro", "CDC_SCHEMA_REGISTRY_URL": registry.url}
    held = Topic(topic, registry)
    database.insert("snapshot")
    engine = launch(**settings)
    engine.wait_for("streaming")
    database.insert("e1", "e2", data='{"text": "ü\\n"}')
    database.run("ALTER TABLE event_headers ADD COLUMN amount int")
    database.insert("e3")
    database.run("UPDATE event_headers SET amount = 7 WHERE id = 'e3'")
    database.run("DELETE FROM event_headers WHERE id = 'e2'")
    wait_until(lambda: len(held.messages()) == 7, "seven records")
    assert held.versions() == [1, 2]
    assert [row["__op"] for row in held.values() if row["id"] == "snapshot"] == ["r"]
    now = held.rows(held.latest())
    assert (now["e1"]["header_data"], now["e1"]["amount"]) == ('{"text": "ü\\n"}', None)
    assert (now["e3"]["amount"], now["e3"]["__op"], now["e2"]["__deleted"]) == (7, "u", "true")
    keys = {held.decode(bytes(message.key()))["id"] for message in held.messages()}
    assert keys == {"snapshot", "e1", "e2", "e3"}

    database.run("ALTER TABLE event_headers ALTER COLUMN amount TYPE text")
    database.insert("e4")
    database.run("UPDATE event_headers SET amount = 'seven' WHERE id = 'e4'")
    assert engine.exit_code() == 1
    (stopped,) = engine.events("stopped_by_error")
    assert stopped["kind"] == "schema_incompatible"
    assert f"{topic.name}-value" in stopped["detail"]
    assert "amount: int -> string" in stopped["detail"]
    assert "compatibility to NONE" in stopped["remedy"]
    assert held.versions() == [1, 2]

    registry.put(f"/config/{topic.name}-value", {"compatibility": "NONE"})
    again = launch(**settings)
    again.wait_for("streaming")
    wait_until(lambda: database.confirmed(slot) >= database.wal_end(), "everything is confirmed")
    assert held.versions() == [1, 2, 3]
    assert [row["amount"] for row in held.values() if row["id"] == "e4"] == [None, "seven"]
    assert len(held.messages()) == 9
    assert again.stop() == 0


def test_shards_and_one_engine_after_them_write_one_subject(
    database: Any, topic: Any, registry: Any, launch: Callable[..., Any], wait_until: Callable[..., Any], slot: str
) -> None:
    """Two processes meet a new column at the same moment: one version more, and each change of a key once, in order."""
    settings = {"CDC_FORMAT": "avro", "CDC_SCHEMA_REGISTRY_URL": registry.url}
    held = Topic(topic, registry)
    names = [f"k{number}" for number in range(40)]
    engine = launch(**settings, CDC_SHARDS="2")
    engine.wait_for("streaming", count=2)
    database.insert(*names)
    database.run("ALTER TABLE event_headers ADD COLUMN amount int")
    database.run("UPDATE event_headers SET amount = 7")
    database.run("DELETE FROM event_headers WHERE id < 'k2'")
    gone = sum(name < "k2" for name in names)
    wait_until(lambda: len(held.messages()) == 80 + 2 * gone, "every change of the shards")
    assert engine.stop() == 0
    engine = launch(**settings)
    engine.wait_for("streaming")
    database.run("UPDATE event_headers SET amount = 8")
    wait_until(lambda: len(held.messages()) == 120 + gone, "every change")
    assert engine.stop() == 0
    assert held.versions() == [1, 2]
    found: dict[str, list[Any]] = {name: [] for name in names}
    for message in held.messages():
        value = None if message.value() is None else held.decode(bytes(message.value()))
        change = value and (value["__op"], value.get("amount"))
        found[held.decode(bytes(message.key()))["id"]].append(change)
    deleted, kept = [("c", None), ("u", 7), ("d", None), None], [("c", None), ("u", 7), ("u", 8)]
    assert found == {name: deleted if name < "k2" else kept for name in names}


def test_a_registry_that_is_away_is_waited_for(
    database: Any,
    topic: Any,
    new_registry: Callable[[], Any],
    launch: Callable[..., Any],
    wait_until: Callable[..., Any],
) -> None:
    """Nothing is confirmed and nothing lost until it answers; once known, the ids are asked for no more."""
    registry = new_registry()
    database.insert("early")
    engine = launch(CDC_FORMAT="avro", CDC_SCHEMA_REGISTRY_URL=registry.url)
    assert engine.wait_for("retrying")["kind"] == "registry_unreachable"
    registry.start()
    engine.wait_for("streaming")
    database.insert("late")
    held = Topic(topic, registry)
    wait_until(lambda: held.rows().keys() == {"early", "late"}, "both rows")
    registry.stop()
    database.insert("after")
    wait_until(lambda: len(held.messages()) == 3, "the third row")
    assert engine.stop() == 0


def test_the_engine_needs_a_registry_and_a_topic_for_each_table(launch: Callable[..., Any]) -> None:
    """Settings that cannot work are refused before anything is connected."""
    engine = launch(CDC_FORMAT="avro")
    assert engine.exit_code() == 2
    assert "CDC_SCHEMA_REGISTRY_URL" in engine.events("setting_invalid")[0]["detail"]
    tables = "public.event_headers, public.business_events"
    engine = launch(CDC_FORMAT="avro", CDC_SCHEMA_REGISTRY_URL="http://x", CDC_TABLES=tables)
    assert engine.exit_code() == 2
    assert "{table}" in engine.events("setting_invalid")[0]["detail"]


def test_a_schema_keeps_its_id_and_an_earlier_one_is_not_asked_again(registry: Any) -> None:
    """An engine that goes on from an earlier place writes with the earlier schema, latest or not."""
    subject = f"ids-{uuid4().hex}-value"
    wide, narrow = schema_of(("id", "string"), ("n", "long")), schema_of(("id", "string"), ("n", "int"))
    first = Registry(registry.url, {}).schema_id(subject, narrow)
    second = Registry(registry.url, {}).schema_id(subject, wide)
    assert first != second
    assert registry.get(f"/subjects/{subject}/versions") == [1, 2]
    # A reader of int cannot read a long: as a new version it would be refused.
    assert Registry(registry.url, {}).schema_id(subject, narrow) == first
    with pytest.raises(IncompatibleSchemaError, match="n: long -> boolean") as caught:
        Registry(registry.url, {}).schema_id(subject, schema_of(("id", "string"), ("n", "boolean")))
    assert (caught.value.subject, caught.value.kind) == (subject, Kind.SCHEMA_INCOMPATIBLE)


def test_names_of_topics_are_no_paths(registry: Any) -> None:
    """What a subject is called does not change what is asked."""
    subject = f"a b/../{uuid4().hex}?x-value"
    number = Registry(registry.url, {}).schema_id(subject, schema_of(("id", "string")))
    assert json.loads(registry.get(f"/schemas/ids/{number}")["schema"])["name"] == "Value"


def test_doctor_asks_the_registry(
    database: Any,
    topic: Any,
    registry: Any,
    new_registry: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., Any],
) -> None:
    """One that is away is an error, one that checks nothing a warning, a strict one is no finding."""

    def found(url: str) -> dict[Kind, Severity]:
        given = {"CDC_FORMAT": "avro", "CDC_SCHEMA_REGISTRY_URL": url, "CDC_TOPIC": topic.name}
        given |= {"DATABASE_URL": database.url, "KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        kinds = {Kind.REGISTRY_UNREACHABLE, Kind.REGISTRY, Kind.SCHEMA_INCOMPATIBLE}
        return {each.kind: each.severity for each in diagnose(Settings()) if each.kind in kinds}

    assert found(registry.url) == {}
    assert found(new_registry().url) == {Kind.REGISTRY_UNREACHABLE: Severity.ERROR}
    # A first answer of its kind may take longer than doctor waits, on a busy machine.
    wait_until(lambda: found(f"{registry.url}/nothing") == {Kind.REGISTRY: Severity.ERROR}, "it is refused")
    registry.put("/config", {"compatibility": "NONE"})
    try:
        assert found(registry.url) == {Kind.SCHEMA_INCOMPATIBLE: Severity.WARNING}
    finally:
        registry.put("/config", {"compatibility": "BACKWARD"})


class Gate(BaseHTTPRequestHandler):
    """A door before a registry, which lets nobody in, and keeps what it was shown."""

    seen: list[str | None]
    status: int

    def do_POST(self) -> None:
        """Answer with the status."""
        self.seen.append(self.headers["Authorization"])
        body = b'{"error_code": 1, "message": "no entry"}'
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing."""


@pytest.fixture
def gate() -> Iterator[ThreadingHTTPServer]:
    """A door that is open for questions."""
    Gate.seen, Gate.status = [], 401
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("status", "kind"), [(401, Kind.REGISTRY), (503, Kind.REGISTRY_UNREACHABLE)])
def test_user_and_password_are_sent_and_never_told(gate: ThreadingHTTPServer, status: int, kind: Kind) -> None:
    """A refusal stops, an overload is tried again; the error holds no secret."""
    Gate.status = status
    given = {"basic.auth.user.info": SecretStr("me:pass:word")}
    with pytest.raises(RegistryError) as caught:
        Registry(f"http://127.0.0.1:{gate.server_port}", given).schema_id("s", schema_of(("id", "string")))
    assert caught.value.kind is kind
    assert Gate.seen == ["Basic bWU6cGFzczp3b3Jk"]
    assert "pass" not in str(caught.value)
