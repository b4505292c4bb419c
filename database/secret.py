"""Credentials in AWS Secrets Manager, as RDS keeps them there.

Owns reading one secret, keeping it between warm invocations, and forgetting it when the server no longer takes it: so a
rotated password needs no restart (LC-165). The secret never leaves this module but as connection parameters.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from database.address import AddressError, Parameters, session

_NAMES: Final = {"host": "host", "port": "port", "dbname": "dbname", "username": "user", "password": "password"}
"""Keys of the secret, and what libpq calls them
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html)."""


class SecretsManager(Protocol):
    """What of the AWS client is used."""

    def get_secret_value(self, *, SecretId: str) -> Mapping[str, Any]:  # noqa: N803 - AWS's own name
        """Return the secret, its text under `SecretString`."""
        ...


def secrets_manager(region: str | None = None) -> SecretsManager:
    """Return AWS's client; `AWS_ENDPOINT_URL_SECRETS_MANAGER` sends it to an emulator."""
    # Loaded only where it is used: it is a good part of a cold start.
    import boto3  # noqa: PLC0415

    client: SecretsManager = boto3.client("secretsmanager", region_name=region)
    return client


class Secret:
    """Reach a database with what a secret says.

    Args:
        client: Secrets Manager.
        name: The secret's name or ARN.
        given: Parameters that win over the secret's, such as the database or TLS.
        statement_timeout: As for `database.address.session`.
    """

    def __init__(
        self,
        client: SecretsManager,
        name: str,
        given: Mapping[str, str | int],
        statement_timeout: float | None = 30.0,
    ) -> None:
        self._client = client
        self._name = name
        self._given = dict(given)
        self._statement_timeout = statement_timeout
        self._read: Parameters | None = None

    def parameters(self) -> Parameters:
        """Return host, user and password of the secret, read once.

        Raises:
            AddressError: It cannot be read, is no JSON object, or lacks what a connection needs.
        """
        if self._read is None:
            self._read = self._fetch()
        return session({**self._read, **self._given}, self._statement_timeout)

    def secrets(self) -> tuple[str, ...]:
        """Return the password, when it has been read."""
        password = (self._read or {}).get("password")
        return (str(password),) if password else ()

    def renew(self) -> bool:
        """Forget what was read; return whether there was anything to forget."""
        known, self._read = self._read, None
        return known is not None

    def _fetch(self) -> Parameters:
        try:
            text = self._client.get_secret_value(SecretId=self._name)["SecretString"]
        except Exception as error:
            reason = getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__
            raise AddressError(
                f"the secret {self._name} cannot be read ({reason}): check its name, the region, and that the role"
                " of the function may call secretsmanager:GetSecretValue"
            ) from error
        try:
            said = json.loads(text)
            read: Parameters = {ours: said[theirs] for theirs, ours in _NAMES.items() if said.get(theirs) is not None}
        except (ValueError, AttributeError, TypeError):
            # The parser repeats what it could not read.
            raise AddressError(f"the secret {self._name} is no JSON object: store it as RDS does") from None
        if missing := [key for key, ours in _NAMES.items() if ours not in {**read, **self._given} and key != "port"]:
            raise AddressError(
                f"the secret {self._name} lacks {', '.join(missing)}: add it, or set it beside the secret"
            )
        return read
