"""What the two functions read from the environment (LC-108), besides how TLS is verified (`database.tls`)."""

from typing import Annotated, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_CONFIG: Final = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)


class PlaceSettings(BaseSettings):
    """Read where the database is, and which role the query function has there.

    Raises:
        pydantic.ValidationError: A variable is missing or unusable; the message names it.
    """

    model_config = _CONFIG

    db_host: str
    db_port: Annotated[int, Field(ge=1, le=65535)] = 5432
    db_name: str = "postgres"
    # PostgreSQL cuts a longer name off without a word.
    db_iam_user: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z_][a-z0-9_]*$")] = "iam_query"
    log_level: str = "info"


class InitializerSettings(PlaceSettings):
    """Read also the secret of the master user, which this function alone has."""

    rds_secret_name: str


class QuerySettings(PlaceSettings):
    """Read also the region, which is part of a token; Lambda sets it."""

    aws_region: str
