"""How to reach PostgreSQL, keep one connection alive, tell failures apart and try again."""

from database.address import Address, AddressError, Direct
from database.failures import Failure, classify, mask, public_text
from database.iam_token import IamToken
from database.link import Connection, Link, Links, connect
from database.retry import Deadline, RetryPolicy
from database.secret import Secret, secrets_manager
from database.settings import DatabaseSettings, Limits
from database.statement import Statement
from database.tls import TlsSettings

__all__ = [
    "Address",
    "AddressError",
    "Connection",
    "DatabaseSettings",
    "Deadline",
    "Direct",
    "Failure",
    "IamToken",
    "Limits",
    "Link",
    "Links",
    "RetryPolicy",
    "Secret",
    "Statement",
    "TlsSettings",
    "classify",
    "connect",
    "mask",
    "public_text",
    "secrets_manager",
]
