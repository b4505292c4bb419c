"""Whether a password is an IAM token that holds now, here and for this role.

Owns every condition that RDS puts on a token: form, place, role, life, key and signature. The signature is computed
again by botocore's own signer, never by a formula of this project; no message repeats a token.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

LIFE: Final = timedelta(minutes=15)
"""No token lives longer, whatever it says
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html)."""
SKEW: Final = timedelta(minutes=1)
"""How far the clock of a client may be ahead."""

_SERVICE: Final = "rds-db"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_NAMES: Final = frozenset(
    {
        "Action",
        "DBUser",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    }
)
_SESSION: Final = "X-Amz-Security-Token"


class TokenRefusedError(Exception):
    """The token does not hold; the text says why, for the log of the gateway alone."""


@dataclass(frozen=True, slots=True, repr=False)
class AccessKey:
    """A known key; `session_token` belongs to temporary credentials."""

    secret_key: str
    session_token: str | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verify tokens for one server.

    Args:
        host: The name that clients connect to, as the tokens have it.
        port: Likewise.
        region: Of the server.
        keys: The known access keys by id.
        now: The clock, in UTC.
    """

    host: str
    port: int
    region: str
    keys: Mapping[str, AccessKey]
    now: Callable[[], datetime] = _utc_now

    def verify(self, token: str, user: str) -> None:
        """Return when the token holds for this role.

        Raises:
            TokenRefusedError: It does not.
        """
        said = self._parameters(token)
        _demand(said["Action"] == "connect", "its action is not connect")
        _demand(said["DBUser"] == user, "it is for another user")
        _demand(said["X-Amz-Algorithm"] == _ALGORITHM, "its algorithm is another")
        _demand(said["X-Amz-SignedHeaders"] == "host", "it signs other headers than the host")
        stamp, expires = said["X-Amz-Date"], said["X-Amz-Expires"]
        self._check_time(stamp, expires)
        key_id = self._key_id(said["X-Amz-Credential"], stamp)
        key = self.keys.get(key_id)
        if key is None:
            raise TokenRefusedError("its access key is not known")
        _demand(_same(said.get(_SESSION, ""), key.session_token or ""), "its session token is another")
        expected = self._signature(user, key_id, key, stamp, int(expires))
        _demand(_same(said["X-Amz-Signature"], expected), "its signature is wrong")

    def _parameters(self, token: str) -> dict[str, str]:
        place, mark, query = token.partition("?")
        _demand(bool(mark), "it is no token")
        _demand(place == f"{self.host}:{self.port}/", "it is for another host or port")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=len(_NAMES) + 1)
        except ValueError:
            raise TokenRefusedError("its parameters cannot be read") from None
        said = dict(pairs)
        _demand(len(said) == len(pairs), "it has a parameter twice")
        if missing := _NAMES - said.keys():
            raise TokenRefusedError(f"it lacks {', '.join(sorted(missing))}")
        _demand(said.keys() <= _NAMES | {_SESSION}, "it has a parameter too many")
        return said

    def _check_time(self, stamp: str, expires: str) -> None:
        try:
            signed = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            raise TokenRefusedError("its date cannot be read") from None
        # The signer writes the same text again only when it is written as the standard says.
        _demand(signed.strftime(_STAMP) == stamp, "its date cannot be read")
        _demand(expires.isascii() and expires.isdecimal() and len(expires) <= 4, "its life cannot be read")
        life = timedelta(seconds=int(expires))
        _demand(timedelta(0) < life <= LIFE, "its life is not between 1 and 900 s")
        now = self.now()
        _demand(signed <= now + SKEW, "its date is in the future")
        _demand(now < signed + life, "it has expired")

    def _key_id(self, credential: str, stamp: str) -> str:
        key_id, *scope = credential.split("/")
        _demand(len(scope) == 4, "its credential scope cannot be read")
        date, region, service, end = scope
        _demand(date == stamp[:8], "its credential scope has another date")
        _demand(region == self.region, "it is for another region")
        _demand(service == _SERVICE and end == "aws4_request", "it is for another service")
        return key_id

    def _signature(self, user: str, key_id: str, key: AccessKey, stamp: str, expires: int) -> str:
        credentials = Credentials(key_id, key.secret_key, key.session_token)
        query = urlencode({"Action": "connect", "DBUser": user})
        request = AWSRequest("GET", f"https://{self.host}:{self.port}/?{query}")
        return _FrozenSigner(credentials, _SERVICE, self.region, expires).signature_at(request, stamp)


class _FrozenSigner(SigV4QueryAuth):  # type: ignore[misc]  # botocore has no types
    """botocore's signer, for a moment that is given instead of now."""

    def signature_at(self, request: Any, stamp: str) -> str:
        """Return the signature of a request at a moment, as `add_auth` computes it."""
        request.context["timestamp"] = stamp
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        signature: str = self.signature(text, request)
        return signature


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _demand(holds: bool, reason: str) -> None:
    if not holds:
        raise TokenRefusedError(reason)
