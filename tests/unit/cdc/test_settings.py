"""Settings come from the environment, and what would break a promise is refused with its name."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from cdc.settings import Settings, SnapshotMode, parse_tables
from cdc.tables import TableName

REQUIRED = {"DATABASE_URL": "postgresql://u:hunter2@h/db", "KAFKA_BOOTSTRAP_SERVERS": "k:9092"}


def settings(monkeypatch: pytest.MonkeyPatch, **given: str) -> Settings:
    """Return the settings of an environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in {**REQUIRED, **given}.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_the_defaults_are_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slot, publication, table and topic as the specification names them (CD-6, CD-7, CD-20)."""
    made = settings(monkeypatch)
    assert made.slot_name == "business_events_cdc_slot"
    assert made.publication_name == "event_headers_debezium_publication"
    assert made.cdc_tables == (TableName("public", "event_headers"),)
    assert made.topic_of(made.cdc_tables[0]) == "raw-event-headers"
    assert made.cdc_snapshot_mode is SnapshotMode.INITIAL


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings nor their errors show the password."""
    assert "hunter2" not in repr(settings(monkeypatch))
    with pytest.raises(ValidationError) as caught:
        settings(monkeypatch, SLOT_NAME="Not A Slot")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "A", "with-dash", "x" * 60, "ü"])
def test_a_slot_name_that_the_server_would_refuse_is_refused_first(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The two helper names made from it must fit as well."""
    with pytest.raises(ValidationError, match="slot name"):
        settings(monkeypatch, SLOT_NAME=name)


@pytest.mark.parametrize(
    "name", ["acks", "enable.idempotence", "partitioner", "transactional.id", "delivery.timeout.ms"]
)
def test_the_guarantees_cannot_be_set_away(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every other librdkafka setting is the user's."""
    with pytest.raises(ValidationError, match=name):
        settings(monkeypatch, CDC_KAFKA_CONFIG=f'{{"{name}": "1"}}')
    assert settings(monkeypatch, CDC_KAFKA_CONFIG='{"compression.type": "lz4"}').cdc_kafka_config


def test_one_topic_or_one_for_each_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern in the topic's name separates the tables; without one they share it."""
    tables = "public.a, sales.b"
    shared = settings(monkeypatch, CDC_TABLES=tables, CDC_TOPIC="all")
    assert [shared.topic_of(table) for table in shared.cdc_tables] == ["all", "all"]
    apart = settings(monkeypatch, CDC_TABLES=tables, CDC_TOPIC="cdc.{schema}.{table}")
    assert [apart.topic_of(table) for table in apart.cdc_tables] == ["cdc.public.a", "cdc.sales.b"]


def test_topics_are_those_of_tables_and_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them must exist and are read back; none is there twice."""
    made = settings(monkeypatch, CDC_TOPIC="raw", CDC_MESSAGES="outbox=events, audit=raw")
    assert made.topics == ("raw", "events")
    with pytest.raises(ValidationError, match="engine's own"):
        settings(monkeypatch, CDC_MESSAGES="headwater.heartbeat=x")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "needs CDC_SCHEMA_REGISTRY_URL"),
        ({"CDC_SCHEMA_REGISTRY_URL": "registry:8081"}, "begins with http"),
        ({"CDC_SCHEMA_REGISTRY_URL": "http://r", "CDC_TABLES": "a.b, a.c"}, "a topic of its own"),
        ({"CDC_SCHEMA_REGISTRY_URL": "http://r", "CDC_SCHEMA_REGISTRY_CONFIG": '{"basic.auth": "x"}'}, "unknown"),
    ],
)
def test_avro_without_what_it_needs_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], fault: str
) -> None:
    """A registry that can be asked, and one table for each subject."""
    with pytest.raises(ValidationError, match=fault):
        settings(monkeypatch, CDC_FORMAT="avro", **given)


def test_the_registrys_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the URL nor beside it."""
    config = '{"basic.auth.user.info": "u:hunter2"}'
    url = "https://u:hunter2@registry/api"
    made = settings(monkeypatch, CDC_FORMAT="avro", CDC_SCHEMA_REGISTRY_URL=url, CDC_SCHEMA_REGISTRY_CONFIG=config)
    assert "hunter2" not in repr(made)


def test_the_default_engine_does_not_load_what_only_avro_needs() -> None:
    """Its memory is small because of that."""
    program = "import sys, cdc.__main__; print(*sorted({'fastavro', 'httpx'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("public.event_headers", [("public", "event_headers")]),
        (" a.b ,c.d", [("a", "b"), ("c", "d")]),
        ('"My Schema"."my.table", a."b""c"', [("My Schema", "my.table"), ("a", 'b"c')]),
        ("größe.列", [("größe", "列")]),
    ],
)
def test_a_list_of_tables_is_read_as_sql_would(text: str, tables: list[tuple[str, str]]) -> None:
    """Quotes take dots, commas, spaces and doubled quotes into a name."""
    assert parse_tables(text) == tuple(TableName(*each) for each in tables)


@pytest.mark.parametrize("text", ["", "headers", "a.b.c", "a.b c.d", 'a."b', ",", "a.b,a.b"])
def test_what_is_no_list_of_tables_is_refused(text: str) -> None:
    """A table is never guessed, dropped or taken twice."""
    with pytest.raises(ValueError, match=r"expected schema\.table|listed twice"):
        parse_tables(text)


def test_streaming_is_on_unless_it_is_turned_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a budget of memory; a folder for the rest must be there when the engine starts, not when it is needed."""
    assert settings(monkeypatch).cdc_streaming is True
    assert settings(monkeypatch, CDC_STREAMING="off").cdc_streaming is False
    assert settings(monkeypatch).cdc_stream_memory_bytes == 8 * 1024 * 1024
    assert settings(monkeypatch, CDC_SPOOL_DIR=str(tmp_path)).cdc_spool_dir == tmp_path
    with pytest.raises(ValidationError, match="cdc_spool_dir"):
        settings(monkeypatch, CDC_SPOOL_DIR=str(tmp_path / "gone"))


def test_what_slot_care_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An LSN as it is printed, a group named by its slot, and no heartbeat so short that it could not be kept."""
    made = settings(monkeypatch, CDC_ACCEPT_GAP="16/B374D848", SLOT_NAME="s1", CDC_HEARTBEAT_SECONDS="0")
    assert made.cdc_accept_gap == 0x16B374D848
    assert made.bookmark_group == "headwater-cdc-s1"
    assert settings(monkeypatch, CDC_BOOKMARK_GROUP="").bookmark_group == ""
    for name, value in (("CDC_ACCEPT_GAP", "yes"), ("CDC_HEARTBEAT_SECONDS", "9"), ("CDC_WAL_BUDGET_ACTION", "x")):
        with pytest.raises(ValidationError):
            settings(monkeypatch, **{name: value})
