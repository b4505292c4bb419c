"""Create the table of users and the table of todos: `python -m functions.todos.setup`. It may be repeated.

Owns the two schemas (LC-125, LC-126, LC-128). No authentication data is kept (LC-142).
Exit codes: 0 they are there, 1 a store refuses or does not answer, 2 the settings are wrong.
"""

import sys
from contextlib import suppress
from typing import Any, Final, LiteralString

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from database import AddressError, Deadline, RetryPolicy, connect, public_text
from functions.todos import items
from functions.todos.settings import TodoSettings, complaint

USERS_SQL: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS users (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL,
    email varchar(255) UNIQUE NOT NULL,
    department varchar(100),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
-- One address, one user, however it is written; the plain index on the address is that of its UNIQUE constraint.
CREATE UNIQUE INDEX IF NOT EXISTS users_email_without_case ON users (lower(email));
CREATE INDEX IF NOT EXISTS users_department ON users (department);
CREATE INDEX IF NOT EXISTS users_created_at ON users (created_at);
"""

_PATIENCE: Final = RetryPolicy(attempts=20, first_wait=0.5, longest_wait=5.0)


def create_users(settings: TodoSettings) -> None:
    """Create what is missing in PostgreSQL.

    Raises:
        psycopg.Error: It cannot be reached in time, or refuses.
        AddressError: The credentials cannot be had.
    """
    deadline = Deadline.after(settings.setup_seconds)

    def create() -> None:
        with connect(settings.address(), settings.limits, deadline) as connection, connection.transaction():
            # Two at once: IF NOT EXISTS alone still lets them collide.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('headwater.todos.setup'))")
            connection.execute(USERS_SQL, prepare=False)

    _PATIENCE.run(create, deadline)


def create_items(settings: TodoSettings, client: Any) -> None:
    """Create the table of todos when it is missing, and wait until it can be used.

    Raises:
        ClientError: DynamoDB refuses.
        BotoCoreError: It cannot be reached, or the table is not ready, in time.
    """
    # The client gives up soon, for the sake of requests; whoever sets up has the time to wait for a store that starts.
    patient = Retrying(
        retry=retry_if_exception_type(BotoCoreError),
        stop=stop_after_delay(settings.setup_seconds),
        wait=wait_exponential(multiplier=0.5, max=5.0),
        reraise=True,
    )
    patient(_create_items, settings, client)


def _create_items(settings: TodoSettings, client: Any) -> None:
    with suppress(client.exceptions.ResourceInUseException):
        client.create_table(
            TableName=settings.dynamodb_table_name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("id", "user_id", "created_at")
            ],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": settings.dynamodb_user_index,
                    "KeySchema": [
                        {"AttributeName": "user_id", "KeyType": "HASH"},
                        {"AttributeName": "created_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
    client.get_waiter("table_exists").wait(
        TableName=settings.dynamodb_table_name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def main() -> int:
    """Create both; return the exit code."""
    try:
        settings = TodoSettings()
    except ValidationError as error:
        sys.stderr.write(complaint(error))
        return 2
    try:
        create_users(settings)
    except (psycopg.Error, AddressError) as error:
        reason = public_text(error, settings.address().secrets())
        sys.stderr.write(f"the table of users cannot be created: {reason}\nCheck the RDS_ variables.\n")
        return 1
    try:
        create_items(settings, items.client(settings))
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(
            f"the table {settings.dynamodb_table_name} cannot be created: {error}\n"
            "Check AWS_REGION, the credentials and their right to create tables.\n"
        )
        return 1
    sys.stdout.write(f"the table of users and {settings.dynamodb_table_name} are there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
