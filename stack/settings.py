"""Owns what a user may set about the local stack: where its state lives and which ports it takes.

Every field is an environment variable with the prefix `HEADWATER_`; the filter file is `FILTERS_FILE`, as for the Flink
stage. Must never know how a service is started.
"""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, PositiveInt, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]

CdcEngine = Literal["native", "debezium"]
"""Which engine carries the changes: our own, or Debezium on Kafka Connect."""

ValueFormat = Literal["json", "avro"]
"""How values are written on the raw and the filtered topics."""
Delivery = Literal["at-least-once", "exactly-once"]
"""How often a record comes out of the Flink job when something fails on the way."""

HOST = "127.0.0.1"
"""The stack listens on the loopback interface only."""

DATABASE = "car_entities"


class StackSettings(BaseSettings):
    """Hold the settings of one local stack."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_", frozen=True, extra="ignore", hide_input_in_errors=True)

    state_dir: Path = Path(".headwater")
    cache_dir: Path = Field(default_factory=lambda: platformdirs.user_cache_path("headwater"))
    postgres_port: Port = 5433
    kafka_port: Port = 29092
    kafka_controller_port: Port = 29093
    flink_port: Port = 8082
    flink_rpc_port: Port = 6123
    producer_port: Port = 8080
    cdc_port: Port = 8083
    connect_port: Port = 8085
    schema_registry_port: Port = 28081
    cdc: CdcEngine = "native"
    value_format: ValueFormat = "json"
    registry_url: str = ""
    filters_file: Annotated[Path | None, Field(validation_alias="filters_file")] = None
    """The filters of this stack; by default a copy of the shipped ones, in the state folder."""
    delivery: Delivery = "at-least-once"
    checkpoint_interval_seconds: PositiveInt | None = None

    @field_validator("filters_file", mode="before")
    @classmethod
    def _absolute(cls, file: object) -> object:
        # It is recorded, and read by processes that stand in other folders; an empty variable names nothing.
        return Path(file).absolute() if isinstance(file, str | Path) and str(file) not in {"", "."} else None

    @property
    def ports(self) -> dict[str, int]:
        """Map the environment variable of each port to its value."""
        names = (name for name in type(self).model_fields if name.endswith("_port"))
        return {f"HEADWATER_{name.upper()}": getattr(self, name) for name in names}

    @field_validator("registry_url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in ("http", "https") or "@" in urlsplit(url).netloc):
            message = "HEADWATER_REGISTRY_URL is a URL with http:// or https:// and without a password"
            raise ValueError(message)
        return url.rstrip("/")

    @property
    def runs_registry(self) -> bool:
        """Tell whether the stack has a schema registry of its own: with Avro, unless it is told of another one."""
        return self.value_format == "avro" and not self.registry_url

    @property
    def own_registry_url(self) -> str:
        """Return the base URL of the stack's own schema registry, in Confluent's interface."""
        return f"http://{HOST}:{self.schema_registry_port}/apis/ccompat/v7"

    @property
    def schemas_url(self) -> str:
        """Return the base URL of the schema registry that values go by; empty when they are JSON."""
        return "" if self.value_format == "json" else self.registry_url or self.own_registry_url

    @property
    def database_url(self) -> str:
        """Return the connection URI of the event database."""
        return f"postgresql://postgres@{HOST}:{self.postgres_port}/{DATABASE}"

    @property
    def kafka_bootstrap(self) -> str:
        """Return the bootstrap address of the broker."""
        return f"{HOST}:{self.kafka_port}"

    @property
    def flink_url(self) -> str:
        """Return the base URL of Flink's REST interface and web page."""
        return f"http://{HOST}:{self.flink_port}"

    @property
    def producer_url(self) -> str:
        """Return the base URL of the producer API."""
        return f"http://{HOST}:{self.producer_port}"

    @property
    def cdc_url(self) -> str:
        """Return the base URL of the engine's `/metrics`, `/livez` and `/readyz`."""
        return f"http://{HOST}:{self.cdc_port}"

    @property
    def connect_url(self) -> str:
        """Return the base URL of Kafka Connect's REST interface, where Debezium is the engine."""
        return f"http://{HOST}:{self.connect_port}"
