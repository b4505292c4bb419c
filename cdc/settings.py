"""Owns what can be set from outside, by environment variables, and refuses what would break the guarantees."""

import re
from enum import Enum, unique
from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cdc.capture import TableName
from cdc.kafka import RESERVED
from cdc.records import TopicName
from cdc.slot import LONGEST_NAME

_TABLE: Final = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\s".,]+))\.(?:"((?:[^"]|"")+)"|([^\s".,]+))\s*(?:,|$)')
_SLOT: Final = re.compile(r"[a-z0-9_]+")


@unique
class SnapshotMode(Enum):
    """When the rows that exist already are read."""

    INITIAL = "initial"
    """When the engine creates its slot for the first time."""
    NEVER = "never"
    """Not at all: only what commits after the slot's creation."""
    WHEN_NEEDED = "when_needed"
    """As `initial`, and again when the slot was lost."""
    ONLY = "only"
    """As `initial`, and then the engine ends; the slot stays, so that a later start streams what came since."""


class Settings(BaseSettings):
    """The settings of the engine; each is the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    kafka_bootstrap_servers: str
    slot_name: str = "business_events_cdc_slot"
    publication_name: Annotated[str, Field(min_length=1, max_length=63)] = "event_headers_debezium_publication"
    cdc_tables: Annotated[tuple[TableName, ...], NoDecode] = (TableName("public", "event_headers"),)
    cdc_topic: Annotated[str, Field(min_length=1)] = "raw-event-headers"
    cdc_snapshot_mode: SnapshotMode = SnapshotMode.INITIAL
    cdc_kafka_config: dict[str, str] = {}
    cdc_linger_ms: Annotated[float, Field(ge=0, le=900_000)] = 0.0
    cdc_max_in_flight_records: Annotated[int, Field(ge=1)] = 10_000
    cdc_max_in_flight_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    cdc_confirm_seconds: Annotated[float, Field(gt=0, le=10)] = 1.0
    cdc_progress_seconds: Annotated[float, Field(gt=0)] = 10.0
    cdc_server_deadline_seconds: Annotated[float, Field(ge=1)] = 30.0
    cdc_chunk_seconds: Annotated[float, Field(ge=0.1)] = 60.0
    cdc_http_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    cdc_http_host: str = "127.0.0.1"
    cdc_ready_seconds: Annotated[float, Field(ge=0.2)] = 10.0
    cdc_live_seconds: Annotated[float, Field(ge=1)] = 120.0
    log_level: str = "INFO"

    @field_validator("slot_name")
    @classmethod
    def _valid_slot(cls, name: str) -> str:
        if not _SLOT.fullmatch(name) or len(name) > LONGEST_NAME:
            raise ValueError(f"a slot name has 1 to {LONGEST_NAME} lower-case letters, digits and underscores")
        return name

    @field_validator("cdc_tables", mode="before")
    @classmethod
    def _parse_tables(cls, value: object) -> object:
        return parse_tables(value) if isinstance(value, str) else value

    @field_validator("cdc_kafka_config")
    @classmethod
    def _keep_guarantees(cls, config: dict[str, str]) -> dict[str, str]:
        if taken := sorted(RESERVED & config.keys()):
            raise ValueError(f"exactly-once delivery stands on these, they cannot be set: {', '.join(taken)}")
        return config

    @field_validator("log_level")
    @classmethod
    def _valid_level(cls, level: str) -> str:
        level = level.upper()
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
            raise ValueError("one of DEBUG, INFO, WARNING, ERROR, CRITICAL")
        return level

    def topic_of(self, table: TableName) -> TopicName:
        """Return the topic of a table: `{schema}` and `{table}` in `cdc_topic` stand for its names."""
        return TopicName(self.cdc_topic.replace("{schema}", table.schema).replace("{table}", table.name))


def parse_tables(text: str) -> tuple[TableName, ...]:
    """Return the tables of a list such as `public.event_headers, "My Schema"."my.table"`.

    Names outside quotes are taken as they are; a dot, a comma or a space in a name needs quotes, a quote is doubled.

    Raises:
        ValueError: The text is no such list, or a table is there twice.
    """
    tables: list[TableName] = []
    at = 0
    while at < len(text) or not tables:
        match = _TABLE.match(text, at)
        if match is None:
            raise ValueError(f"expected schema.table, separated by commas, at {text[at:]!r}")
        schema = match[1].replace('""', '"') if match[1] else match[2]
        name = match[3].replace('""', '"') if match[3] else match[4]
        tables.append(TableName(schema, name))
        at = match.end()
    if len(set(tables)) < len(tables):
        raise ValueError("a table is listed twice")
    return tuple(tables)
