"""A database that takes short-lived IAM tokens for passwords.

Owns making the token: signed here without any call, good for 15 minutes and only to connect, so every connection has a
new one (LC-100, LC-101; https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from database.address import AddressError, Parameters, session


@dataclass(frozen=True, slots=True)
class IamToken:
    """Reach a database as an IAM user of it.

    Args:
        host: The name that is connected to; the token holds for no other, so no alias.
        port: Of the server.
        user: A database role that `rds_iam` is granted to.
        database: Which one.
        region: Of the server.
        tls: As `database.tls` gives it; RDS takes a token over TLS only.
        statement_timeout: As for `database.address.session`.
    """

    host: str
    port: int
    user: str
    database: str
    region: str
    tls: Mapping[str, str | int]
    statement_timeout: float | None = 30.0

    def parameters(self) -> Parameters:
        """Return them with a token made now.

        Raises:
            AddressError: There are no AWS credentials to sign with.
        """
        base: Parameters = {"host": self.host, "port": self.port, "user": self.user, "dbname": self.database}
        return session({**base, **self.tls, "password": self._token()}, self.statement_timeout)

    def secrets(self) -> tuple[str, ...]:
        """Return nothing: a token is used once, and `mask` covers one that an error repeats."""
        return ()

    def renew(self) -> bool:
        """Return False: every connection has a new token anyway."""
        return False

    def _token(self) -> str:
        # Loaded only where it is used: it is a good part of a cold start.
        import boto3  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        try:
            client: Any = boto3.client("rds", region_name=self.region)
            token: str = client.generate_db_auth_token(
                DBHostname=self.host, Port=self.port, DBUsername=self.user, Region=self.region
            )
        except BotoCoreError as error:
            raise AddressError(
                f"no token for {self.user} can be signed ({type(error).__name__}): give the function a role with"
                " rds-db:connect"
            ) from error
        return token
