"""How to reach PostgreSQL, keep one connection alive, tell failures apart and try again."""

from database.address import Address, Direct
from database.failures import Failure, classify, mask, public_text
from database.link import Connection, Link, Links
from database.retry import Deadline, RetryPolicy
from database.settings import DatabaseSettings

__all__ = [
    "Address",
    "Connection",
    "DatabaseSettings",
    "Deadline",
    "Direct",
    "Failure",
    "Link",
    "Links",
    "RetryPolicy",
    "classify",
    "mask",
    "public_text",
]
