"""How to reach the database: what libpq needs for one new connection.

Owns the translation of settings into connection parameters. `database.secret` and `database.iam_token` are further
classes of this protocol; nobody above this module knows which one is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from psycopg.conninfo import conninfo_to_dict

from database.settings import DatabaseSettings

Parameters = dict[str, str | int]


class Address(Protocol):
    """Name one database and the credentials for it."""

    def parameters(self) -> Parameters:
        """Return the libpq parameters of one new connection; asked again for each, because tokens expire."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """Return the texts that must not appear in any message."""
        ...

    def renew(self) -> bool:
        """Forget credentials that the server has refused; return whether others may be had."""
        ...


class AddressError(Exception):
    """Credentials cannot be had; the text names what was asked and the remedy, and never a secret."""


def session(base: Mapping[str, str | int], statement_timeout: float | None) -> Parameters:
    """Return connection parameters with keepalives and the statement timeout, which the server enforces.

    Args:
        base: Where and who; its own options win.
        statement_timeout: Seconds; None leaves it to the role's own setting, as behind RDS Proxy, which pins a session
            that has options.
    """
    if statement_timeout is None:
        return {**_KEEPALIVE, **base}
    timeout = f"-c statement_timeout={round(statement_timeout * 1000)}"
    # Options of the base come last: the server lets the last of two win.
    return {**_KEEPALIVE, **base, "options": f"{timeout} {base.get('options', '')}".strip()}


@dataclass(frozen=True, slots=True, repr=False)
class Direct:
    """Reach the database without anything in between, by user and password."""

    base: Mapping[str, str | int]
    statement_timeout: float | None = 30.0

    @classmethod
    def of(cls, settings: DatabaseSettings) -> "Direct":
        """Return the address that the settings name: the URL, or else the parts."""
        if settings.database_url is not None:
            url = conninfo_to_dict(settings.database_url.get_secret_value())
            base: Parameters = {name: value for name, value in url.items() if value is not None}
        else:
            password = settings.database_password
            parts: dict[str, str | int | None] = {
                "host": settings.aurora_endpoint,
                "port": settings.database_port,
                "dbname": settings.database_name,
                "user": settings.database_user,
                "password": password.get_secret_value() if password is not None else None,
            }
            base = {name: value for name, value in parts.items() if value is not None}
        return cls(base=base, statement_timeout=settings.db_statement_timeout)

    def parameters(self) -> Parameters:
        """Return host, user, password and the session's statement timeout, which the server enforces."""
        return session(self.base, self.statement_timeout)

    def secrets(self) -> tuple[str, ...]:
        """Return the password."""
        password = self.base.get("password")
        return (str(password),) if password else ()

    def renew(self) -> bool:
        """Return False: what the settings say is all there is."""
        return False


# A peer that vanished without a word is noticed after about 30 s instead of the system's two hours, and data that
# nobody acknowledges after 20 s (https://www.postgresql.org/docs/18/libpq-connect.html).
_KEEPALIVE: Parameters = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "headwater",
}
