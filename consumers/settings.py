"""Owns what a consumer is told from outside: broker, topic, group and how it handles failures (FL-80 to FL-83)."""

from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

GROUPS: dict[str, str] = {
    "filtered-car-created-events": "car-consumer-group",
    "filtered-loan-created-events": "loan-consumer-group",
    "filtered-loan-payment-submitted-events": "loan-payment-consumer-group",
    "filtered-service-events": "service-consumer-group",
    "filtered-service-events-dealer-001": "dealer-001-service-consumer-group",
    "filtered-service-events-dealer-002": "dealer-002-service-consumer-group",
    "filtered-service-events-dealer-003": "dealer-003-service-consumer-group",
}
"""The consumer group of each filtered topic, by the topic's base name without the processor's suffix (FL-80)."""

USER, TOKEN = "basic.auth.user.info", "bearer.auth.token"
_REGISTRY_SETTINGS: Final = (USER, TOKEN)
_LONGEST_WAIT_SECONDS: Final = 10.0
_LONGEST_RETRY_SECONDS: Final = 240.0
"""Well below the time after which the broker gives a silent member's partitions to others (FL-83)."""


class ConsumerSettings(BaseSettings):
    """Read the consumer's environment.

    Raises:
        pydantic.ValidationError: A variable is missing or unreadable; the message names it and repeats no secret.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    kafka_bootstrap_servers: str
    kafka_topic: str
    consumer_group_id: str
    kafka_client_id: str = ""
    kafka_api_key: SecretStr | None = None
    kafka_api_secret: SecretStr | None = None
    # The authority that signed the broker's certificate, where it is none that the system knows.
    kafka_ssl_ca_location: Path | None = None
    # Where schemas are, for framed Avro; without it every frame is taken for one around JSON.
    schema_registry_url: str = ""
    schema_registry_config: dict[str, SecretStr] = {}
    display_timezone: str = "America/New_York"
    log_level: str = "info"
    # A failing handler is asked this often before its record goes to the dead-letter topic of the group.
    handler_attempts: Annotated[int, Field(ge=1)] = 3
    handler_wait_seconds: Annotated[float, Field(ge=0)] = 0.2
    # A file that is touched while the consumer asks for records: what a container's health is judged by.
    consumer_alive_file: Path | None = None

    @field_validator("display_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            message = f"DISPLAY_TIMEZONE {name!r} is not known: write a name such as America/New_York or UTC"
            raise ValueError(message) from error
        return name

    @field_validator("schema_registry_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in ("http", "https"):
            message = "expected a URL that begins with http:// or https://"
            raise ValueError(message)
        if "@" in urlsplit(url).netloc:
            message = f"a password belongs into SCHEMA_REGISTRY_CONFIG, under {USER}"
            raise ValueError(message)
        return url.rstrip("/")

    @field_validator("schema_registry_config")
    @classmethod
    def _known_to_the_registry(cls, config: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if unknown := sorted(config.keys() - set(_REGISTRY_SETTINGS)):
            message = f"unknown: {', '.join(unknown)}; there are {', '.join(_REGISTRY_SETTINGS)}"
            raise ValueError(message)
        return config

    @model_validator(mode="after")
    def _patient_within_reason(self) -> Self:
        waits = (self.handler_wait(attempt) for attempt in range(1, min(self.handler_attempts, 1000)))
        if sum(waits) > _LONGEST_RETRY_SECONDS:
            message = (
                f"HANDLER_ATTEMPTS and HANDLER_WAIT_SECONDS together wait longer than {_LONGEST_RETRY_SECONDS:.0f} s, "
                "after which the broker would give the partitions to others: lower one of them"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.kafka_api_key is None) != (self.kafka_api_secret is None):
            message = "set both KAFKA_API_KEY and KAFKA_API_SECRET (SASL_SSL), or none of them (plain local broker)"
            raise ValueError(message)
        return self

    @property
    def client_id(self) -> str:
        """Return the client id: as set, else the group's name with `-group` replaced by `-client`."""
        return self.kafka_client_id or self.consumer_group_id.removesuffix("-group") + "-client"

    @property
    def dead_letter_topic(self) -> str:
        """Return where records go that this group could not handle."""
        return f"dlq-{self.consumer_group_id}"

    def handler_wait(self, attempt: int) -> float:
        """Return the seconds between a failed attempt, counted from 1, and the next one."""
        return float(min(self.handler_wait_seconds * 2.0 ** min(attempt - 1, 30), _LONGEST_WAIT_SECONDS))

    def connection(self) -> dict[str, str | int | float | bool]:
        """Return librdkafka's settings for reaching the broker, with SASL when a key is set (FL-82, FL-83)."""
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "client.id": self.client_id,
            "socket.timeout.ms": 60_000,
            "socket.keepalive.enable": True,
            "connections.max.idle.ms": 300_000,
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
            if self.kafka_ssl_ca_location is not None:
                settings["ssl.ca.location"] = str(self.kafka_ssl_ca_location)
        return settings

    def group(self) -> dict[str, str | int | float | bool]:
        """Return librdkafka's settings for a member of the group (FL-83, FL-84)."""
        return self.connection() | {
            "group.id": self.consumer_group_id,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 30_000,
            "heartbeat.interval.ms": 10_000,
            "max.poll.interval.ms": 300_000,
            "fetch.wait.max.ms": 50,
            # Stored by hand after a record is handled; librdkafka commits what was stored, also when it is closed.
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 1_000,
            "enable.auto.offset.store": False,
        }
