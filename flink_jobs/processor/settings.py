"""Owns what the processor is told from outside: broker, group, topics, and where filters come from (FL-60 to FL-62)."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, HttpUrl, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import schemas
from flink_jobs.processor.router import Topics

ClientSettings = dict[str, str | int | float | bool]


class ProcessorSettings(BaseSettings):
    """Read the environment of the processor; each field is the variable of the same name in capitals.

    Attributes:
        filters_file: The filter definitions; those for the target `spring` are applied.
        metadata_service_url: Where the metadata service is; with it, the file counts only until the service answers.
        metadata_schema_id: The `schemaId` whose filters are asked for.
        filters_reload_seconds: How often the service is asked; the file is looked at every second.
        processor_batch: The most records of one transaction.
        processor_http_port: Where `/metrics`, `/livez` and `/readyz` are; 0 lets the system choose.

    Raises:
        pydantic.ValidationError: A variable is missing or unreadable; the message names it and repeats no secret.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    kafka_bootstrap_servers: str
    kafka_api_key: SecretStr | None = None
    kafka_api_secret: SecretStr | None = None
    filters_file: Path = Field(default_factory=schemas.v2_filters_path)
    metadata_service_url: HttpUrl | None = None
    metadata_service_timeout: Annotated[float, Field(gt=0)] = 5.0
    metadata_schema_id: str = "event"
    metadata_schema_version: str = "v1"
    filters_reload_seconds: Annotated[float, Field(gt=0)] = 30.0
    cdc_topic: str = "raw-event-headers"
    processor_group: str = "headwater-processor"
    processor_topic_suffix: str = "-spring"
    processor_dead_letter_topic: str = "dlq-raw-event-headers-spring"
    processor_batch: PositiveInt = 1000
    processor_transaction_timeout_ms: Annotated[int, Field(ge=1000)] = 10_000
    processor_http_host: str = "127.0.0.1"
    processor_http_port: Annotated[int, Field(ge=0, le=65535)] = 8084
    log_level: str = "info"

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.kafka_api_key is None) != (self.kafka_api_secret is None):
            message = "set both KAFKA_API_KEY and KAFKA_API_SECRET (SASL_SSL), or none of them (plain local broker)"
            raise ValueError(message)
        return self

    @property
    def topics(self) -> Topics:
        """Return the names to read and write."""
        return Topics(self.cdc_topic, self.processor_dead_letter_topic, self.processor_topic_suffix)

    def connection(self) -> ClientSettings:
        """Return librdkafka's settings for reaching the broker, with SASL when a key is set (FL-82)."""
        settings: ClientSettings = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "client.id": self.processor_group,
            "socket.keepalive.enable": True,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 10_000,
        }
        if self.kafka_api_key is not None and self.kafka_api_secret is not None:
            settings |= {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "PLAIN",
                "sasl.username": self.kafka_api_key.get_secret_value(),
                "sasl.password": self.kafka_api_secret.get_secret_value(),
            }
        return settings

    def reader(self) -> ClientSettings:
        """Return librdkafka's settings for the member of the group."""
        return self.connection() | {
            "group.id": self.processor_group,
            "auto.offset.reset": "earliest",
            # Offsets are part of the transaction, and nothing else commits them.
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Also makes a new owner wait for offsets that a transaction still holds (KIP-447).
            "isolation.level": "read_committed",
            # Partitions are all taken back and given anew, so that a member never guesses what it may still write.
            "partition.assignment.strategy": "range",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 2_000,
            "fetch.wait.max.ms": 50,
            # A topic that was missing, and partitions that were added, are seen after so long.
            "topic.metadata.refresh.interval.ms": 10_000,
        }

    def writer(self, transactional_id: str) -> ClientSettings:
        """Return librdkafka's settings for the transactional producer."""
        return self.connection() | {
            "transactional.id": transactional_id,
            # What a killed processor leaves open ends by itself after this, and only then readers see beyond it.
            "transaction.timeout.ms": self.processor_transaction_timeout_ms,
            "linger.ms": 0,
            # The hash of the Java clients, so that a key is in the same partition as on Flink's topics.
            "partitioner": "murmur2_random",
            # A record of the broker's full size still fits with what is added to it.
            "message.max.bytes": 4_194_304,
            "allow.auto.create.topics": False,
        }
