"""Owns what the deployment to Confluent Cloud is told from outside: the service, the keys, where tables are."""

from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_Named = Annotated[str, Field(min_length=1)]


class ConfluentSettings(BaseSettings):
    """Read the environment of a deployment to Confluent Cloud.

    Attributes:
        confluent_organization_id: The organisation, a UUID.
        confluent_env_id: The environment, such as `env-z3y2x1`.
        kafka_cluster_id: The Kafka cluster, such as `lkc-a1b2c3`.
        flink_rest_endpoint: Such as `https://flink.us-east-1.aws.confluent.cloud`.
        flink_api_key: A Flink key of the region and environment; no Kafka or cloud key.
        flink_compute_pool_id: Such as `lfcp-8m03rm`.
        flink_principal_id: The service account that statements run as; by default the owner of the key.
        flink_catalog: The environment's name in SQL; by default its id.
        flink_database: The Kafka cluster's name in SQL; by default its id.
        schema_registry_url: The registry of the environment.

    Raises:
        pydantic.ValidationError: A variable is missing or unreadable; the message names it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    confluent_organization_id: _Named
    confluent_env_id: _Named
    kafka_cluster_id: _Named
    flink_rest_endpoint: HttpUrl
    flink_api_key: _Named
    flink_api_secret: SecretStr
    flink_compute_pool_id: _Named
    flink_principal_id: str | None = None
    flink_catalog: str | None = None
    flink_database: str | None = None
    schema_registry_url: HttpUrl
    schema_registry_api_key: _Named
    schema_registry_api_secret: SecretStr

    @property
    def properties(self) -> dict[str, str]:
        """Return where the statements find their tables."""
        return {
            "sql.current-catalog": self.flink_catalog or self.confluent_env_id,
            "sql.current-database": self.flink_database or self.kafka_cluster_id,
        }
