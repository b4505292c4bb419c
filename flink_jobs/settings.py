"""Owns what the Flink stage is told from outside: cluster, broker, filter file and where its own state lives."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import schemas
from flink_jobs.avro import Registry
from flink_jobs.delivery import Delivery, Guarantee
from flink_jobs.sql import Places

_USER, _TOKEN = "basic.auth.user.info", "bearer.auth.token"
_CREDENTIALS: Final = {
    _USER: ({"basic-auth.credentials-source": "USER_INFO"}, "basic-auth.user-info"),
    _TOKEN: ({"bearer-auth.credentials-source": "STATIC_TOKEN"}, "bearer-auth.token"),
}
"""What can be set of a registry: the options of Flink's format that go with it, and the one that holds it."""


class SqlSettings(BaseSettings):
    """Read what the SQL of the filters is made from; each field is the variable of the same name in capitals.

    Attributes:
        kafka_bootstrap_servers: The broker, as the cluster reaches it; empty where no statement names one.
        filters_file: The filter definitions.
        flink_consumer_group: The group whose offsets are committed at each checkpoint.
        flink_value_format: How values are written on the raw and the filtered topics.
        schema_registry_url: The base of the registry's Confluent-compatible interface; for Avro.
        schema_registry_config: How we prove who we are, by the names that Confluent's clients use.

    Raises:
        pydantic.ValidationError: A variable is unreadable; the message names it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    kafka_bootstrap_servers: str = ""
    filters_file: Path = Field(default_factory=schemas.filters_path)
    flink_consumer_group: str = "headwater-filters"
    cdc_topic: str = "raw-event-headers"
    dead_letter_topic: str = "dlq-raw-event-headers"
    topic_suffix: str = "-flink"
    log_level: str = "info"
    flink_value_format: Literal["json", "avro"] = "json"
    schema_registry_url: str = ""
    schema_registry_config: dict[str, SecretStr] = {}

    @field_validator("schema_registry_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("expected a URL that begins with http:// or https://")
        if "@" in urlsplit(url).netloc:
            raise ValueError(f"a password belongs into SCHEMA_REGISTRY_CONFIG, under {_USER}, where it is masked")
        return url.rstrip("/")

    @field_validator("schema_registry_config")
    @classmethod
    def _known_to_the_registry(cls, config: dict[str, SecretStr]) -> dict[str, SecretStr]:
        if unknown := sorted(config.keys() - _CREDENTIALS.keys()):
            raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(_CREDENTIALS)}")
        return config

    @model_validator(mode="after")
    def _fit_for_avro(self) -> Self:
        if self.flink_value_format == "avro" and not self.schema_registry_url:
            raise ValueError("FLINK_VALUE_FORMAT=avro needs SCHEMA_REGISTRY_URL")
        return self

    @property
    def registry(self) -> Registry | None:
        """Return where schemas are; None when values are JSON."""
        if self.flink_value_format == "json":
            return None
        credentials: dict[str, str] = {}
        for name, secret in self.schema_registry_config.items():
            beside, option = _CREDENTIALS[name]
            credentials |= {**beside, option: secret.get_secret_value()}
        return Registry(self.schema_registry_url, credentials)

    @property
    def places(self) -> Places:
        """Return the broker, topics and group for the SQL."""
        return Places(
            bootstrap_servers=self.kafka_bootstrap_servers,
            raw_topic=self.cdc_topic,
            dead_letter_topic=self.dead_letter_topic,
            group=self.flink_consumer_group,
            suffix=self.topic_suffix,
            registry=self.registry,
        )


class FlinkSettings(SqlSettings):
    """Read the environment of the Flink stage.

    Attributes:
        flink_rest_url: The REST interface of the session cluster.
        flink_checkpoint_dir: The folder the cluster writes checkpoints to, which this process can read.
        flink_savepoint_dir: Where the cluster writes savepoints; beside the checkpoints by default.
        flink_plan_dir: Where compiled plans and the list of submitted jobs are kept; beside the checkpoints by default.
        flink_connector_jars: Archives of the Kafka SQL connector, or folders of such, joined by the system's path
            separator.
        flink_delivery: `at-least-once` or `exactly-once`.
        flink_transaction_timeout_seconds: When the broker gives a transaction of the job up; at most the broker's own
            `transaction.max.timeout.ms`.
        flink_checkpoint_interval_seconds: By default 10, and with `exactly-once` 1: a record is seen when it is over.
        flink_avro_jars: The same of Flink's Avro format with its registry; needed for Avro only.

    Raises:
        pydantic.ValidationError: A variable is missing or unreadable; the message names it.
    """

    flink_rest_url: str = "http://127.0.0.1:8082"
    kafka_bootstrap_servers: str
    flink_checkpoint_dir: Path
    flink_savepoint_dir: Path = Path()
    flink_plan_dir: Path = Path()
    flink_connector_jars: Annotated[tuple[Path, ...], NoDecode] = ()
    flink_avro_jars: Annotated[tuple[Path, ...], NoDecode] = ()
    flink_job_name: str = "headwater-filters"
    flink_parallelism: PositiveInt = 2
    flink_delivery: Guarantee = Guarantee.AT_LEAST_ONCE
    flink_transaction_timeout_seconds: PositiveInt = 900
    flink_checkpoint_interval_seconds: Annotated[float, Field(gt=0)] = 10

    @field_validator("flink_connector_jars", "flink_avro_jars", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(Path(part) for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("flink_connector_jars", "flink_avro_jars")
    @classmethod
    def _present(cls, places: tuple[Path, ...], info: ValidationInfo) -> tuple[Path, ...]:
        jars = [jar for place in places for jar in (sorted(place.glob("*.jar")) if place.is_dir() else [place])]
        for jar in jars:
            if not jar.is_file():
                what = "Kafka SQL connector" if info.field_name == "flink_connector_jars" else "Avro format"
                message = f"{str(info.field_name).upper()} names {jar}, which is no file; fetch the {what} first"
                raise ValueError(message)
        return tuple(jar.absolute() for jar in jars)

    @model_validator(mode="before")
    @classmethod
    def _beside_the_checkpoints(cls, values: object) -> object:
        if not isinstance(values, dict) or not values.get("flink_checkpoint_dir"):
            return values
        beside = Path(values["flink_checkpoint_dir"]).parent
        places: dict[str, object] = {"flink_plan_dir": beside / "plans", "flink_savepoint_dir": beside / "savepoints"}
        return places | {name: value for name, value in values.items() if value or name not in places}

    @model_validator(mode="before")
    @classmethod
    def _seen_soon(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("flink_delivery") != Guarantee.EXACTLY_ONCE:
            return values
        return {"flink_checkpoint_interval_seconds": 1} | values

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        if not self.flink_checkpoint_dir.is_absolute():
            message = "FLINK_CHECKPOINT_DIR must be absolute: the cluster has another working directory"
            raise ValueError(message)
        if self.flink_checkpoint_interval_seconds >= self.flink_transaction_timeout_seconds:
            message = "FLINK_TRANSACTION_TIMEOUT_SECONDS must be longer than FLINK_CHECKPOINT_INTERVAL_SECONDS"
            raise ValueError(message)
        return self

    @property
    def lifecycle_dir(self) -> Path:
        """Return where the filters that ran, and backups of the filter file, are kept: beside the plans."""
        return self.flink_plan_dir.parent / "filters"

    @property
    def places(self) -> Places:
        """Return the broker, topics and group for the SQL, and how they are written."""
        delivery = Delivery(self.flink_delivery, self.flink_job_name, self.flink_transaction_timeout_seconds)
        return replace(super().places, delivery=delivery)

    @property
    def archives(self) -> tuple[Path, ...]:
        """Return the archives that the job needs beside Flink's own."""
        return (*self.flink_connector_jars, *(self.flink_avro_jars if self.registry else ()))
