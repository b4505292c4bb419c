"""Owns what the Flink stage is told from outside: cluster, broker, filter file and where its own state lives."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveInt, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import schemas
from flink_jobs.delivery import Delivery, Guarantee
from flink_jobs.sql import Places


class SqlSettings(BaseSettings):
    """Read what the SQL of the filters is made from; each field is the variable of the same name in capitals.

    Attributes:
        kafka_bootstrap_servers: The broker, as the cluster reaches it; empty where no statement names one.
        filters_file: The filter definitions.
        flink_consumer_group: The group whose offsets are committed at each checkpoint.

    Raises:
        pydantic.ValidationError: A variable is unreadable; the message names it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str = ""
    filters_file: Path = Field(default_factory=schemas.filters_path)
    flink_consumer_group: str = "headwater-filters"
    cdc_topic: str = "raw-event-headers"
    dead_letter_topic: str = "dlq-raw-event-headers"
    topic_suffix: str = "-flink"
    log_level: str = "info"

    @property
    def places(self) -> Places:
        """Return the broker, topics and group for the SQL."""
        return Places(
            bootstrap_servers=self.kafka_bootstrap_servers,
            raw_topic=self.cdc_topic,
            dead_letter_topic=self.dead_letter_topic,
            group=self.flink_consumer_group,
            suffix=self.topic_suffix,
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

    Raises:
        pydantic.ValidationError: A variable is missing or unreadable; the message names it.
    """

    flink_rest_url: str = "http://127.0.0.1:8082"
    kafka_bootstrap_servers: str
    flink_checkpoint_dir: Path
    flink_savepoint_dir: Path = Path()
    flink_plan_dir: Path = Path()
    flink_connector_jars: Annotated[tuple[Path, ...], NoDecode] = ()
    flink_job_name: str = "headwater-filters"
    flink_parallelism: PositiveInt = 2
    flink_delivery: Guarantee = Guarantee.AT_LEAST_ONCE
    flink_transaction_timeout_seconds: PositiveInt = 900
    flink_checkpoint_interval_seconds: Annotated[float, Field(gt=0)] = 10

    @field_validator("flink_connector_jars", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(Path(part) for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("flink_connector_jars")
    @classmethod
    def _present(cls, places: tuple[Path, ...]) -> tuple[Path, ...]:
        jars = [jar for place in places for jar in (sorted(place.glob("*.jar")) if place.is_dir() else [place])]
        for jar in jars:
            if not jar.is_file():
                message = f"FLINK_CONNECTOR_JARS names {jar}, which is no file; fetch the Kafka SQL connector first"
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
