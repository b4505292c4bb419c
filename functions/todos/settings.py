"""What the todo system reads from the environment (LC-123, LC-124).

Owns the names of the variables and that a missing one is a start error. It never connects. Where AWS's services are is
botocore's business: `AWS_ENDPOINT_URL_DYNAMODB` sends it to a local one.
"""

from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from database import Address, Direct, Limits, Secret, TlsSettings, secrets_manager

POOL_CONNECTIONS: Final = 5
POOL_IDLE_SECONDS: Final = 30.0
# Three tries of a statement and three of DynamoDB's still end within a request.
_STATEMENT_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 10.0


class TodoSettings(BaseSettings):
    """Read the variables of the todo system.

    Raises:
        pydantic.ValidationError: One is missing or cannot be used; the message names it and never repeats a value.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    rds_host: str
    rds_port: Annotated[int, Field(ge=1, le=65535)] = 5432
    rds_database: str
    rds_username: str
    rds_password: SecretStr | None = None
    rds_password_secret: str | None = None
    """Name or ARN of a secret with the key `password`; it wins over `RDS_PASSWORD`."""
    dynamodb_table_name: Annotated[str, Field(min_length=3, max_length=255, pattern=r"^[A-Za-z0-9_.-]+$")]
    dynamodb_user_index: str = "UserTodosIndex"
    dynamodb_max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    aws_region: str
    log_level: str = "INFO"
    request_seconds: Annotated[float, Field(gt=0)] = 25.0
    setup_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long the setup waits for each store: a stack that starts may bring it up last."""
    orphan_grace_seconds: Annotated[float, Field(ge=0)] = 900.0
    """How old a todo without its user must be before the checker removes it."""

    @model_validator(mode="after")
    def _has_a_password(self) -> Self:
        if self.rds_password is None and self.rds_password_secret is None:
            raise ValueError("set RDS_PASSWORD or RDS_PASSWORD_SECRET")
        return self

    @property
    def limits(self) -> Limits:
        """Return how each connection may be used (LC-136)."""
        return Limits(connect_timeout=_CONNECT_SECONDS, idle_check=POOL_IDLE_SECONDS)

    def address(self) -> Address:
        """Return how to reach PostgreSQL: by the password, or by the secret when one is named."""
        base: dict[str, str | int] = {
            "host": self.rds_host,
            "port": self.rds_port,
            "dbname": self.rds_database,
            "user": self.rds_username,
            **TlsSettings().parameters(),
        }
        if self.rds_password_secret is not None:
            return Secret(secrets_manager(self.aws_region), self.rds_password_secret, base, _STATEMENT_SECONDS)
        password = self.rds_password.get_secret_value() if self.rds_password is not None else ""
        return Direct({**base, "password": password}, _STATEMENT_SECONDS)


def complaint(error: ValidationError) -> str:
    """Return a line for each variable that is missing or wrong; no value is repeated."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "".join(
        ": ".join(filter(None, [".".join(map(str, fault["loc"])).upper(), fault["msg"].removeprefix("Value error, ")]))
        + "\n"
        for fault in faults
    )
