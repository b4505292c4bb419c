"""Tokens as boto3 makes them, and every way in which one does not hold (LC-100, LC-101)."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import botocore.auth
import pytest
from boto3 import Session
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.iam_gateway.token import AccessKey, TokenRefusedError, Verifier

NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
KEYS = {"AKIALOCAL": AccessKey("wJalr+secret/key"), "ASIATEMP": AccessKey("other", "session+token/with=marks")}


def verifier(after: float = 0, **changes: Any) -> Verifier:
    """Return a verifier whose clock is so many seconds after the signature."""
    given = {"host": "db.example.com", "port": 5432, "region": "eu-central-1", "keys": KEYS, **changes}
    return Verifier(**given, now=lambda: NOW + timedelta(seconds=after))


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    # The one clock that botocore signs by.
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)


@cache
def made(key: str = "AKIALOCAL", user: str = "iam_query", host: str = "db.example.com", port: int = 5432) -> str:
    """Return a token of boto3's own."""
    known = KEYS[key]
    session = Session(key, known.secret_key, known.session_token, region_name="eu-central-1")
    token: str = session.client("rds").generate_db_auth_token(host, port, user)
    return token


def signed(
    expires: int = 900,
    service: str = "rds-db",
    region: str = "eu-central-1",
    action: str = "connect",
    credentials: Credentials = Credentials("AKIALOCAL", "wJalr+secret/key"),  # noqa: B008 - read only
) -> str:
    """Return a rightly signed token for something else than boto3 would ask."""
    query = urlencode({"Action": action, "DBUser": "iam_query"})
    request = AWSRequest("GET", f"https://db.example.com:5432/?{query}")
    SigV4QueryAuth(credentials, service, region, expires).add_auth(request)
    return str(request.url).removeprefix("https://")


def refusal(token: str, user: str = "iam_query", after: float = 0, **changes: Any) -> str:
    """Return why a token is refused; that it is, is asserted, and that the reason does not repeat it."""
    with pytest.raises(TokenRefusedError) as refused:
        verifier(after, **changes).verify(token, user)
    for _, value in parse_qsl(token.partition("?")[2]):
        assert len(value) < 20 or value not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("user", ["iam_query", "Jane Doe+äß/&=?"])
def test_a_token_of_boto3_holds(key: str, user: str) -> None:
    """With a permanent and with a temporary key, whatever the name of the role (LC-101)."""
    verifier().verify(made(key, user), user)


def test_a_token_lives_fifteen_minutes() -> None:
    """It holds in the last second and not after it (LC-101)."""
    verifier(after=899.9).verify(made(), "iam_query")
    assert refusal(made(), after=900) == "it has expired"


def test_a_clock_may_be_ahead_by_one_minute() -> None:
    """A token of the future is refused, but clocks differ a little (LC-101)."""
    verifier(after=-60).verify(made(), "iam_query")
    assert refusal(made(), after=-61) == "its date is in the future"


@pytest.mark.parametrize("expires", [0, -1, 901, 3600, 10**6])
def test_a_rightly_signed_longer_life_is_refused(expires: int) -> None:
    """900 seconds are the most, whatever was signed (LC-101)."""
    assert "its life" in refusal(signed(expires))


def test_a_token_is_for_one_place_and_role() -> None:
    """Host, port, user and region are what the token names (LC-101)."""
    assert refusal(made(host="other.example.com")) == "it is for another host or port"
    assert refusal(made(port=5433)) == "it is for another host or port"
    assert refusal(made(user="somebody")) == "it is for another user"
    assert refusal(signed(region="us-east-1")) == "it is for another region"
    assert refusal(signed(service="s3")) == "it is for another service"
    assert refusal(signed(action="describe")) == "its action is not connect"


def test_a_key_that_is_not_known_is_refused() -> None:
    """Unknown key, wrong secret, and a session token too many, too few or another (LC-101)."""
    assert refusal(signed(credentials=Credentials("AKIANONE", "x"))) == "its access key is not known"
    assert refusal(signed(credentials=Credentials("AKIALOCAL", "guessed"))) == "its signature is wrong"
    for key, secret, session in (
        ("AKIALOCAL", "wJalr+secret/key", "surplus"),
        ("ASIATEMP", "other", None),
        ("ASIATEMP", "other", "yesterday's"),
    ):
        assert refusal(signed(credentials=Credentials(key, secret, session))) == "its session token is another"


@pytest.mark.parametrize("name", [name for name, _ in parse_qsl(signed().partition("?")[2])])
def test_no_parameter_may_be_left_out_changed_or_doubled(name: str) -> None:
    """Every part of a token is looked at (LC-101)."""
    place, _, query = made().partition("?")
    pairs = parse_qsl(query)

    def token(*changed: tuple[str, str]) -> str:
        return f"{place}?{urlencode([*changed])}"

    without = [pair for pair in pairs if pair[0] != name]
    assert refusal(token(*without)) == f"it lacks {name}"
    (value,) = [value for key, value in pairs if key == name]
    refusal(token(*without, (name, "")))
    refusal(token(*without, (name, value[:-1] + ("1" if value[-1] != "1" else "2"))))
    assert refusal(token(*pairs, (name, value))) == "it has a parameter twice"


def test_no_parameter_may_be_added() -> None:
    """What the signature does not cover is not there (LC-101)."""
    assert refusal(f"{made()}&Extra=1") == "it has a parameter too many"


@given(date=st.text(st.characters(codec="ascii", categories=["N", "L"]), max_size=20), password=st.text())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_for_a_password_is_refused_with_a_reason(date: str, password: str) -> None:
    """No text and no date makes the verifier fail in another way (LC-101)."""
    with pytest.raises(TokenRefusedError):
        verifier().verify(password, "iam_query")
    stamped = made().replace("20261127T040000Z", date)
    with pytest.raises(TokenRefusedError):
        verifier().verify(stamped, "iam_query")


@given(st.integers(min_value=0, max_value=400), st.characters(codec="ascii"))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_other_character_anywhere_ends_a_token(at: int, character: str) -> None:
    """A changed token is refused unless it says the same, as an escape in small letters does (LC-101)."""
    token = made()
    at %= len(token)
    changed = token[:at] + character + token[at + 1 :]
    if changed.partition("?")[0] == token.partition("?")[0] and parse_qsl(changed) == parse_qsl(token):
        return
    with pytest.raises(TokenRefusedError):
        verifier().verify(changed, "iam_query")
