"""What the gateway reads from the environment, all beginning with `IAM_GATEWAY_`."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from stack.iam_gateway.token import AccessKey

_Port = Annotated[int, Field(ge=1, le=65535)]
_Seconds = Annotated[float, Field(gt=0)]


class KnownKey(BaseModel):
    """The secret of one access key, and its session token when it is temporary."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    secret_key: SecretStr
    session_token: SecretStr | None = None


class GatewaySettings(BaseSettings):
    """Read the gateway's variables.

    Raises:
        pydantic.ValidationError: One is missing or unusable; the message names it and never repeats its value.
    """

    model_config = SettingsConfigDict(
        env_prefix="IAM_GATEWAY_", frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    listen_host: str = "127.0.0.1"
    port: _Port
    host_name: str = "localhost"
    """The name that clients connect to: it is in their tokens and in the certificate."""
    region: str = "us-east-1"
    credentials: Annotated[dict[str, KnownKey], Field(min_length=1)]
    """By access key id, as JSON: {"AKIA…": {"secret_key": "…", "session_token": "…"}}."""
    master_user: str
    master_password: SecretStr
    upstream_host: str = "127.0.0.1"
    upstream_port: _Port
    upstream_user: str = "postgres"
    """The account that looks at roles."""
    certificates: Path
    """The folder that gets `ca.pem`."""
    startup_seconds: _Seconds = 10.0
    """From the first byte to the end of the login."""
    grace_seconds: _Seconds = 5.0
    """How long sessions under way may go on after SIGTERM."""
    max_connections: Annotated[int, Field(ge=1)] = 64
    log_level: str = "info"

    def keys(self) -> dict[str, AccessKey]:
        """Return the known access keys by id."""
        return {
            name: AccessKey(
                key.secret_key.get_secret_value(),
                key.session_token.get_secret_value() if key.session_token is not None else None,
            )
            for name, key in self.credentials.items()
        }
