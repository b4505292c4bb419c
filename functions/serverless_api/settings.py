"""What the API reads from the environment, and which way to the database that means.

Owns the names of the variables (LC-151, LC-155) and the choice of the address (LC-150). It never connects.
"""

import os
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from database import Address, Direct, IamToken, Limits, Secret, TlsSettings, secrets_manager

Seconds = Annotated[float, Field(gt=0)]
Method = Literal[
    "direct", "direct, by secret", "direct, by IAM token", "proxy", "proxy, by secret", "proxy, by IAM token"
]

# The only values that a switch takes for true; any other text but these four is an error, not a silent false.
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def in_lambda() -> bool:
    """Return whether this process is a Lambda (LC-155)."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


class ApiSettings(BaseSettings):
    """Read the API's variables.

    Raises:
        pydantic.ValidationError: A variable that the chosen method needs is missing, or a value cannot be used. The
            message names the variable and never repeats a value.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    use_local_db: bool = False
    """A database of this machine: no TLS, and defaults for what is not set."""
    use_secrets_manager: bool = False
    use_iam_auth: bool = False
    use_rds_proxy: bool = False

    db_host: str | None = None
    db_port: Annotated[int, Field(ge=1, le=65535)] = 5432
    db_name: str | None = None
    db_user: str | None = None
    db_password: SecretStr | None = None
    db_secret_name: str | None = None
    aws_region: str = "us-east-1"

    db_connect_timeout: Seconds = 5.0
    db_statement_timeout: Seconds = 60.0
    db_wake_seconds: Annotated[float, Field(ge=30)] = 45.0
    """How long a paused database is waited for; the Lambda's remaining time may end it sooner (LC-154)."""
    db_health_seconds: Seconds = 3.0
    db_pool_size: Annotated[int, Field(ge=0, le=5)] = 1
    """Connections kept between invocations; 0: one is opened for each use and closed (LC-152)."""
    log_level: str = "info"

    @field_validator("use_local_db", "use_secrets_manager", "use_iam_auth", "use_rds_proxy", mode="before")
    @classmethod
    def _a_switch(cls, value: Any) -> bool:
        read = value if isinstance(value, bool) else _SWITCH.get(str(value).lower())
        if read is None:
            message = "write true or false"
            raise ValueError(message)
        return read

    @model_validator(mode="before")
    @classmethod
    def _local_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        if _SWITCH.get(str(values.get("use_local_db", False)).lower()):
            return {"db_host": "127.0.0.1", "db_name": "vehicles", "db_user": "postgres", **values}
        return values

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.use_secrets_manager and self.use_iam_auth:
            message = "USE_SECRETS_MANAGER and USE_IAM_AUTH are both true: choose one"
            raise ValueError(message)
        if self.use_local_db and (self.use_secrets_manager or self.use_iam_auth or self.use_rds_proxy):
            message = "USE_LOCAL_DB is for a database of this machine: set it to false to use anything of AWS"
            raise ValueError(message)
        if self.use_secrets_manager:
            needed = ["db_secret_name"]
        elif self.use_local_db or self.use_iam_auth:
            needed = ["db_host", "db_name", "db_user"]
        else:
            needed = ["db_host", "db_name", "db_user", "db_password"]
        if missing := [name.upper() for name in needed if getattr(self, name) is None]:
            message = f"set {', '.join(missing)}: the database is reached {self.method}"
            raise ValueError(message)
        return self

    @property
    def method(self) -> Method:
        """Return how the database is reached, in words (LC-150, LC-160)."""
        if self.use_secrets_manager:
            return "proxy, by secret" if self.use_rds_proxy else "direct, by secret"
        if self.use_iam_auth:
            return "proxy, by IAM token" if self.use_rds_proxy else "direct, by IAM token"
        return "proxy" if self.use_rds_proxy else "direct"

    @property
    def limits(self) -> Limits:
        """Return how each connection may be used; behind the proxy without named statements, which would pin it."""
        return Limits(connect_timeout=self.db_connect_timeout, prepare_statements=not self.use_rds_proxy)

    def address(self) -> Address:
        """Return the way to the database, which nobody else need know (LC-165)."""
        # Options of a session pin it behind the proxy; there the role has the timeout (`init_db`).
        timeout = None if self.use_rds_proxy else self.db_statement_timeout
        tls: dict[str, str | int] = {"sslmode": "disable"} if self.use_local_db else TlsSettings().parameters()
        if self.use_secrets_manager:
            return Secret(secrets_manager(self.aws_region), self.db_secret_name or "", self._beside(tls), timeout)
        host, name, user = self.db_host or "", self.db_name or "", self.db_user or ""
        if self.use_iam_auth:
            return IamToken(host, self.db_port, user, name, self.aws_region, tls, timeout)
        password = {"password": self.db_password.get_secret_value()} if self.db_password else {}
        return Direct({"host": host, "port": self.db_port, "dbname": name, "user": user, **password, **tls}, timeout)

    def _beside(self, tls: dict[str, str | int]) -> dict[str, str | int]:
        """Return what wins over the secret: the proxy's host, because the secret names the cluster itself."""
        host = {"host": self.db_host} if self.use_rds_proxy and self.db_host else {}
        return {**tls, **host}
