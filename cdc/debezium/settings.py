"""Owns what can be set about Kafka Connect and the connector; database, slot, tables and topic are `cdc.settings`'s."""

from typing import Annotated, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

CONNECTOR_NAME: Final = "postgres-debezium-event-headers-local"


class ConnectSettings(BaseSettings):
    """The settings of the deployment; each is the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    connect_url: str = "http://127.0.0.1:8085"
    connect_connector: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$")] = CONNECTOR_NAME
    connect_tries: Annotated[int, Field(ge=1)] = 30
    connect_pause_seconds: Annotated[float, Field(gt=0)] = 2.0

    @field_validator("connect_url")
    @classmethod
    def _whole_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("expected a URL that begins with http:// or https://")
        return url.rstrip("/")
