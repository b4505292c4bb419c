"""Owns what a user may set about the local stack: where its state lives and which ports it takes.

Every field is an environment variable with the prefix `HEADWATER_`; the filter file is `FILTERS_FILE`, as for the Flink
stage. Must never know how a service is started.
"""

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, PositiveInt, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]

CdcEngine = Literal["native", "debezium"]
"""Which engine carries the changes: our own, or Debezium on Kafka Connect."""

HOST = "127.0.0.1"
"""The stack listens on the loopback interface only."""

DATABASE = "car_entities"


class StackSettings(BaseSettings):
    """Hold the settings of one local stack."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_", frozen=True, extra="ignore")

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
    cdc: CdcEngine = "native"
    filters_file: Annotated[Path | None, Field(validation_alias="filters_file")] = None
    """The filters of this stack; by default the shipped ones."""
    checkpoint_interval_seconds: PositiveInt = 10

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
