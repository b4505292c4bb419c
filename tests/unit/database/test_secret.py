"""Credentials in Secrets Manager and IAM tokens, with the AWS API emulated by moto."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from database import AddressError, IamToken, Secret, TlsSettings, mask, secrets_manager

STORED = {
    "host": "db.internal",
    "port": 5432,
    "username": "app",
    "password": "hunter2",
    "dbname": "cars",
    "engine": "x",
}


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


def _stored(text: str) -> Any:
    client = boto3.client("secretsmanager")
    client.create_secret(Name="database", SecretString=text)
    return client


def test_a_secret_gives_host_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own keys; what is set beside it wins (LC-83, LC-151)."""
    _stored(json.dumps(STORED))
    address = Secret(secrets_manager(), "database", {"dbname": "demodb"})
    parameters = address.parameters()
    assert {name: parameters[name] for name in ("host", "port", "user", "password", "dbname")} == {
        "host": "db.internal",
        "port": 5432,
        "user": "app",
        "password": "hunter2",
        "dbname": "demodb",
    }
    assert address.secrets() == ("hunter2",)


def test_a_rotated_secret_is_read_after_a_refusal() -> None:
    """And not before: it is read once for all connections (LC-165)."""
    client = _stored(json.dumps(STORED))
    address = Secret(secrets_manager(), "database", {})
    address.parameters()
    client.put_secret_value(SecretId="database", SecretString=json.dumps(STORED | {"password": "rotated"}))
    assert address.parameters()["password"] == "hunter2"
    assert address.renew()
    assert address.parameters()["password"] == "rotated"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not json hunter2", "no JSON object"),
        ("[]", "no JSON object"),
        ('{"host": "h"}', "lacks dbname, username, password"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(text: str, told: str) -> None:
    """The error says what to store (LC-83)."""
    _stored(text)
    with pytest.raises(AddressError, match=told) as caught:
        Secret(secrets_manager(), "database", {}).parameters()
    assert "hunter2" not in str(caught.value)


def test_a_secret_that_is_not_there_is_named() -> None:
    """With AWS's own reason."""
    with pytest.raises(AddressError, match=r"missing cannot be read \(ResourceNotFoundException\)"):
        Secret(secrets_manager(), "missing", {}).parameters()


def test_each_connection_has_a_token_of_its_own_over_verified_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """For host, port, user and region, 15 minutes long (LC-100, LC-101, LC-11, LC-92)."""
    monkeypatch.setenv("DB_SSL_ROOT_CERT", "bundle.pem")
    address = IamToken("db.internal", 5433, "app", "cars", "eu-west-1", TlsSettings().parameters())
    parameters = address.parameters()
    assert (parameters["sslmode"], parameters["sslrootcert"]) == ("verify-full", "bundle.pem")
    token = str(parameters["password"])
    assert token.startswith("db.internal:5433/?")
    for part in ("Action=connect", "DBUser=app", "X-Amz-Expires=900", "eu-west-1%2Frds-db%2Faws4_request"):
        assert part in token
    assert token.rpartition("X-Amz-Signature=")[2] not in mask(f"password={token}")
