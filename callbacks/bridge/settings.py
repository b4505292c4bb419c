"""What the bridge reads from the environment, besides the database's own variables."""

from typing import Annotated

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict


class BridgeSettings(BaseSettings):
    """Read the bridge's variables.

    Raises:
        pydantic.ValidationError: A value that cannot be used; the message names the variable.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    aws_endpoint_url_lambda: HttpUrl
    """The Lambda service, by botocore's own variable."""
    callback_concurrency: Annotated[int, Field(ge=1, le=1000)] = 32
    """How many calls are with the Lambda service at once; the others wait, within the time of their session."""
    log_level: str = "info"
