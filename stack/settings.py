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

Delivery = Literal["at-least-once", "exactly-once"]
"""How often a record comes out of the Flink job when something fails on the way."""

ValueFormat = Literal["json", "avro"]
"""How values are written on the raw and the filtered topics."""

HOST = "127.0.0.1"
"""The stack listens on the loopback interface only."""

DATABASE = "car_entities"

_OF_FUNCTIONS = {f"HEADWATER_{name}_PORT" for name in ("LAMBDA", "AWS", "DYNAMODB", "IAM", "TODOS", "SERVERLESS_API")}


class StackSettings(BaseSettings):
    """Hold the settings of one local stack."""

    model_config = SettingsConfigDict(
        env_prefix="HEADWATER_",
        # An empty HEADWATER_STATE_DIR would be the folder that one stands in.
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

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
    lambda_port: Port = 9001
    aws_port: Port = 9002
    dynamodb_port: Port = 9003
    iam_port: Port = 5434
    todos_port: Port = 9010
    serverless_api_port: Port = 9011
    functions: bool = False
    """Whether Lambda functions, and what they need, run beside the pipeline."""
    cdc: CdcEngine = "native"
    filters_file: Annotated[Path | None, Field(validation_alias="filters_file")] = None
    """The filters of this stack; by default a copy of the shipped ones, in the state folder."""
    delivery: Delivery = "at-least-once"
    value_format: ValueFormat = "json"
    registry_url: str = ""
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
    def unused_ports(self) -> set[str]:
        """Return the variables of ports that nothing of this stack listens on."""
        idle = {"HEADWATER_CONNECT_PORT" if self.cdc == "native" else "HEADWATER_CDC_PORT"}
        if not self.runs_registry:
            idle.add("HEADWATER_SCHEMA_REGISTRY_PORT")
        return idle if self.functions else idle | _OF_FUNCTIONS

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
    def lambda_url(self) -> str:
        """Return the endpoint of the local Lambda service, as the AWS SDK takes it."""
        return f"http://{HOST}:{self.lambda_port}"

    @property
    def aws_url(self) -> str:
        """Return the endpoint of the emulated AWS services other than Lambda and DynamoDB."""
        return f"http://{HOST}:{self.aws_port}"

    @property
    def dynamodb_url(self) -> str:
        """Return the endpoint of the local DynamoDB."""
        return f"http://{HOST}:{self.dynamodb_port}"

    @property
    def todos_url(self) -> str:
        """Return the base URL of the todo API."""
        return f"http://{HOST}:{self.todos_port}"

    @property
    def serverless_api_url(self) -> str:
        """Return the base URL of the API over Aurora Serverless."""
        return f"http://{HOST}:{self.serverless_api_port}"

    @property
    def connect_url(self) -> str:
        """Return the base URL of Kafka Connect's REST interface, where Debezium is the engine."""
        return f"http://{HOST}:{self.connect_port}"
