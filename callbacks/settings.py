"""What the callbacks read from the environment (LC-83), besides how TLS is verified (`database.tls`)."""

from typing import Annotated, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from database import Limits, Link, Secret, TlsSettings, secrets_manager

_CONFIG: Final = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)
_Seconds = Annotated[float, Field(gt=0)]


class TargetSettings(BaseSettings):
    """Read which function the SQL functions call.

    Raises:
        pydantic.ValidationError: A variable is missing or unusable; the message names it.
    """

    model_config = _CONFIG

    # A name, a partial or a full ARN, as `aws_commons.create_lambda_function_arn` takes it.
    postgres_function_name: Annotated[str, Field(max_length=256)]
    # Lambda sets it.
    aws_region: str


class SecretSettings(BaseSettings):
    """Read where the secret of the database is, and which database is meant.

    Raises:
        pydantic.ValidationError: A variable is missing or unusable; the message names it.
    """

    model_config = _CONFIG

    db_secret_arn: str
    db_name: str = "demodb"
    db_connect_timeout: _Seconds = 5.0
    db_statement_timeout: _Seconds = 20.0
    log_level: str = "info"

    def link(self) -> Link:
        """Return a link to the database, with the secret read at its first use and TLS as `TlsSettings` says."""
        given = {"dbname": self.db_name, **TlsSettings().parameters()}
        address = Secret(secrets_manager(), self.db_secret_arn, given, self.db_statement_timeout)
        return Link(address, Limits(connect_timeout=self.db_connect_timeout, prepare_statements=False))
