"""Owns the creation of the pipeline's tables in the database that the settings name. What they are, `schemas` says."""

from collections.abc import Callable
from typing import Any

import psycopg

import schemas
from database.address import Direct
from database.retry import Deadline, RetryPolicy
from database.settings import DatabaseSettings

_PATIENCE = RetryPolicy(attempts=20, first_wait=0.5, longest_wait=5.0)


def create_tables(settings: DatabaseSettings, seconds: float = 60) -> None:
    """Create what is missing of the three tables and the publication; what is there stays as it is.

    Args:
        settings: The database, which must exist, and an account that may create tables in it.
        seconds: How long to go on asking a server that is still starting.

    Raises:
        psycopg.Error: The server cannot be reached in that time, or refuses.
    """
    _PATIENCE.run(_creation(Direct.of(settings)), Deadline.after(seconds))


def _creation(address: Direct) -> Callable[[], None]:
    def create() -> None:
        parameters: dict[str, Any] = {**address.parameters()}
        # The script has a transaction of its own.
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute(schemas.postgres_sql().encode())

    return create
