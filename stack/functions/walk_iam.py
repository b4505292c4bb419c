"""Owns the walk through the database that takes IAM tokens for passwords."""

from datetime import UTC, datetime

import psycopg

from stack.functions import configuration, services
from stack.functions.reach import Reach
from stack.functions.walk import Walk, expect
from stack.state import State


def walk(reach: Reach, steps: Walk) -> None:
    """Initialise the database, run the recurring query, and be refused without a token."""
    request = {"RequestType": "Create", "ResourceProperties": {}}
    with steps.step("the initializer, as the deployment's custom resource") as saw:
        answer = reach.invoke("iam-initializer", request)
        expect(answer.get("PhysicalResourceId") == "CreateTable", str(answer))
        saw.text = f"physical id {answer['PhysicalResourceId']}"
    with steps.step("once more, which changes nothing") as saw:
        saw.text = f"physical id {reach.invoke('iam-initializer', request)['PhysicalResourceId']}"
    with steps.step("the recurring query, by a token") as saw:
        expect(reach.invoke("iam-query", {}) is True, "it answered false: see `headwater logs lambda`")
        with reach.database(configuration.IAM_DATABASE) as database:
            row = database.execute("SELECT count(*), max(query_date) FROM queries").fetchone()
        today = datetime.now(UTC).date()
        expect(row is not None and row[0] >= 1 and row[1] == today, str(row))
        saw.text = f"{row[0] if row else 0} rows in queries, the newest of {today}"
    with steps.step("a password where the token should be") as saw:
        state = State(reach.settings.state_dir)
        try:
            psycopg.connect(**services.iam_login(reach.settings, state), password="guessed").close()  # noqa: S106
        except psycopg.OperationalError as error:
            saw.text = str(error).strip().rpartition("FATAL:")[2].strip()
            expect("authentication failed" in saw.text, saw.text)
        else:
            expect(False, "it was let in")
