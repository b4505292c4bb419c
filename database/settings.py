"""Where the database is and how it may be used, read from the environment.

Owns the names of the variables (LC-3, LC-4, LC-7) and that a missing one is a start error (LC-5). It never connects;
an address does (`database.address`).
"""

from dataclasses import dataclass
from typing import Annotated, Final, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class Limits:
    """How a connection may be used, whatever the database; times in seconds."""

    connect_timeout: float = 15.0
    idle_check: float = 30.0
    """How long a connection may lie unused before a round trip proves it alive: a frozen Lambda wakes up with
    connections that a NAT gateway forgot in silence."""
    prepare_statements: bool = True
    """Off behind RDS Proxy: a named prepared statement pins the session (IN-53)."""


_DEFAULT: Final = Limits()


class DatabaseSettings(BaseSettings):
    """Read the database variables; `DATABASE_URL` wins over the single parts.

    Raises:
        pydantic.ValidationError: Neither the URL nor all of the parts are set, or the URL cannot be read. The message
            names the variables and never repeats their values.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    database_url: SecretStr | None = None
    aurora_endpoint: str | None = None
    database_port: int = 5432
    database_name: str | None = None
    database_user: str | None = None
    database_password: SecretStr | None = None

    db_connect_timeout: Seconds = _DEFAULT.connect_timeout
    db_statement_timeout: Seconds = 30.0
    db_idle_check: Seconds = _DEFAULT.idle_check
    db_prepare_statements: bool = _DEFAULT.prepare_statements
    db_pool_min_size: Annotated[int, Field(ge=0)] = 1
    db_pool_max_size: Annotated[int, Field(ge=1)] = 10

    @property
    def limits(self) -> Limits:
        """Return how each connection may be used."""
        return Limits(self.db_connect_timeout, self.db_idle_check, self.db_prepare_statements)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.database_url is not None:
            try:
                conninfo_to_dict(self.database_url.get_secret_value())
            except ProgrammingError:
                # libpq repeats the unreadable text, password included, so neither text nor cause may go on.
                message = (
                    "DATABASE_URL cannot be read: write postgresql://user:password@host:port/database, percent-encoded"
                )
                raise ValueError(message) from None
            return self
        parts = ("aurora_endpoint", "database_name", "database_user", "database_password")
        if missing := [name.upper() for name in parts if getattr(self, name) is None]:
            message = f"set DATABASE_URL, or else also {', '.join(missing)}"
            raise ValueError(message)
        return self
