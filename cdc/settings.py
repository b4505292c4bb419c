"""Owns what can be set from outside, by environment variables, and refuses what would break the guarantees."""

import re
from enum import Enum, unique
from typing import Annotated, Final, Self

from pydantic import DirectoryPath, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cdc.assembly import DEFAULT_MEMORY
from cdc.emission import REGISTRY_SETTINGS, FormatName, Truncation
from cdc.failpoints import Armed, parse_armed
from cdc.kafka import RESERVED
from cdc.lsn import Lsn, parse_lsn
from cdc.outbox import parse_messages
from cdc.records import TopicName
from cdc.shards.names import LONGEST_SUFFIX, MOST_SHARDS, WHOLE, Part, is_part_name
from cdc.slots.budget import BudgetAction
from cdc.slots.failover import SlotFailover
from cdc.slots.slot import LONGEST_IDENTIFIER, LONGEST_NAME
from cdc.tables import TableName

_TABLE: Final = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^\s".,]+))\.(?:"((?:[^"]|"")+)"|([^\s".,]+))\s*(?:,|$)')
_HTTP: Final = re.compile(r"https?://[^/\s]")
_SHORTEST_HEARTBEAT_S: Final = 10.0
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
    cdc_format: FormatName = FormatName.JSON
    cdc_topic_prefix: Annotated[str, Field(min_length=1)] = "postgres-cdc"
    cdc_schema_registry_url: SecretStr | None = None
    cdc_schema_registry_config: dict[str, SecretStr] = {}
    cdc_truncate: Truncation = Truncation.SKIP
    cdc_messages: Annotated[dict[str, TopicName], NoDecode] = {}
    cdc_dead_letter_topic: str = "dlq-{topic}"
    cdc_snapshot_mode: SnapshotMode = SnapshotMode.INITIAL
    cdc_shards: Annotated[int, Field(ge=1, le=MOST_SHARDS)] = 1
    cdc_slot_failover: SlotFailover = SlotFailover.AUTO
    cdc_bookmark_group: Annotated[str, Field(max_length=249)] = "headwater-cdc-{slot}"
    cdc_accept_gap: Lsn | None = None
    cdc_kafka_config: dict[str, str] = {}
    cdc_streaming: bool = True
    cdc_stream_memory_bytes: Annotated[int, Field(ge=64 * 1024)] = DEFAULT_MEMORY
    cdc_spool_dir: DirectoryPath | None = None
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
    cdc_freeze_seconds: Annotated[float, Field(ge=0)] = 20.0
    cdc_wal_budget_bytes: Annotated[int, Field(ge=1)] | None = None
    cdc_wal_budget_action: BudgetAction = BudgetAction.WARN
    cdc_guard_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    cdc_heartbeat_seconds: Annotated[float, Field(ge=0)] = 60.0
    cdc_failpoint: Annotated[Armed | None, NoDecode] = None
    log_level: str = "INFO"

    @field_validator("slot_name")
    @classmethod
    def _valid_slot(cls, name: str) -> str:
        if not _SLOT.fullmatch(name) or len(name) > LONGEST_NAME:
            raise ValueError(f"a slot name has 1 to {LONGEST_NAME} lower-case letters, digits and underscores")
        if is_part_name(name):
            raise ValueError("it is the name of a shard's slot; give the name without _g<number>_<shard>of<shards>")
        return name

    @field_validator("cdc_tables", mode="before")
    @classmethod
    def _parse_tables(cls, value: object) -> object:
        return parse_tables(value) if isinstance(value, str) else value

    @field_validator("cdc_messages", mode="before")
    @classmethod
    def _parse_messages(cls, value: object) -> object:
        return parse_messages(value) if isinstance(value, str) else value

    @field_validator("cdc_accept_gap", mode="before")
    @classmethod
    def _parse_gap(cls, value: object) -> object:
        return parse_lsn(value) if isinstance(value, str) else value

    @field_validator("cdc_failpoint", mode="before")
    @classmethod
    def _parse_failpoint(cls, value: object) -> object:
        return parse_armed(value) if isinstance(value, str) else value

    @field_validator("cdc_heartbeat_seconds")
    @classmethod
    def _not_too_often(cls, seconds: float) -> float:
        if 0 < seconds < _SHORTEST_HEARTBEAT_S:
            raise ValueError(f"0 for none, or at least {_SHORTEST_HEARTBEAT_S:.0f}")
        return seconds

    @field_validator("cdc_kafka_config")
    @classmethod
    def _keep_guarantees(cls, config: dict[str, str]) -> dict[str, str]:
        if taken := sorted(RESERVED & config.keys()):
            raise ValueError(f"exactly-once delivery stands on these, they cannot be set: {', '.join(taken)}")
        return config

    @field_validator("cdc_schema_registry_url")
    @classmethod
    def _whole_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _HTTP.match(url.get_secret_value()):
            raise ValueError("expected a URL that begins with http:// or https://")
        return url

    @field_validator("cdc_schema_registry_config")
    @classmethod
    def _known_to_the_registry(cls, config: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if unknown := sorted(config.keys() - REGISTRY_SETTINGS):
            raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(REGISTRY_SETTINGS))}")
        return config

    @model_validator(mode="after")
    def _fit_for_avro(self) -> Self:
        if self.cdc_format is FormatName.AVRO:
            if self.cdc_schema_registry_url is None:
                raise ValueError("CDC_FORMAT=avro needs CDC_SCHEMA_REGISTRY_URL")
            if len({self.topic_of(table) for table in self.cdc_tables}) < len(self.cdc_tables):
                # A subject is named after its topic, and holds the versions of one schema.
                raise ValueError(
                    "with CDC_FORMAT=avro each table needs a topic of its own: {schema} or {table} in CDC_TOPIC"
                )
        return self

    @model_validator(mode="after")
    def _fit_for_shards(self) -> Self:
        if self.cdc_shards > 1:
            if self.cdc_truncate is Truncation.EMIT:
                # Each shard would say it at a time of its own, before or behind the rows of the others.
                raise ValueError(
                    "CDC_TRUNCATE=emit needs CDC_SHARDS=1: a truncation has no place among several streams"
                )
            if self.cdc_bookmark_group and "{slot}" not in self.cdc_bookmark_group:
                raise ValueError("with CDC_SHARDS above 1 CDC_BOOKMARK_GROUP needs {slot}: each shard has a bookmark")
            if len(self.publication_name.encode()) > LONGEST_IDENTIFIER - LONGEST_SUFFIX:
                longest = LONGEST_IDENTIFIER - LONGEST_SUFFIX
                raise ValueError(f"with CDC_SHARDS above 1 PUBLICATION_NAME has at most {longest} bytes")
        return self

    @model_validator(mode="after")
    def _keep_letters_apart(self) -> Self:
        if taken := sorted(set(self.dead_letter_topics.values()) & set(self.topics)):
            raise ValueError(f"CDC_DEAD_LETTER_TOPIC and CDC_TOPIC are both {', '.join(taken)}")
        return self

    @field_validator("log_level")
    @classmethod
    def _valid_level(cls, level: str) -> str:
        level = level.upper()
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
            raise ValueError("one of DEBUG, INFO, WARNING, ERROR, CRITICAL")
        return level

    @property
    def bookmark_group(self) -> str:
        """The consumer group that keeps the bookmark, empty for none; `{slot}` stands for the slot's name."""
        return self.cdc_bookmark_group.replace("{slot}", self.slot_name)

    def of(self, part: Part) -> Self:
        """Return the settings of one shard: its slot, its publication; logical messages are shard 0's alone."""
        if part == WHOLE:
            return self
        own = {"slot_name": part.slot(self.slot_name), "publication_name": part.publication(self.publication_name)}
        return self.model_copy(update={**own, "cdc_messages": {} if part.index else self.cdc_messages})

    def topic_of(self, table: TableName) -> TopicName:
        """Return the topic of a table: `{schema}` and `{table}` in `cdc_topic` stand for its names."""
        return TopicName(self.cdc_topic.replace("{schema}", table.schema).replace("{table}", table.name))

    @property
    def topics(self) -> tuple[TopicName, ...]:
        """Every topic that is written: those of the tables, then those of the messages."""
        tables = [self.topic_of(table) for table in self.cdc_tables]
        return tuple(dict.fromkeys([*tables, *self.cdc_messages.values()]))

    @property
    def dead_letter_topics(self) -> dict[TopicName, TopicName]:
        """The dead-letter topic of every topic, whether it exists or not; empty if none is wanted."""
        found = {topic: self.dead_letter_topic_of(topic) for topic in self.topics}
        return {topic: letters for topic, letters in found.items() if letters is not None}

    def dead_letter_topic_of(self, topic: TopicName) -> TopicName | None:
        """Return where the dead letters of a topic go: `{topic}` stands for its name; None if they are not wanted."""
        return TopicName(self.cdc_dead_letter_topic.replace("{topic}", topic)) or None


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
