"""The script for Amazon MSK: the local one, reached with IAM."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import schemas
from flink_jobs import Places, load_filters, script, statements
from flink_jobs.dialects import msk_places
from flink_jobs.sql import Kind
from tests.unit.flink_jobs.dialects.every import every_filter

GOLDEN = Path(__file__).parents[1] / "msk.sql"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LOCAL = Places("b-1.example.kafka.eu-west-1.amazonaws.com")
MSK = msk_places(LOCAL)


def test_the_shipped_filters_give_these_tables() -> None:
    """All that stands before the inserts, letter by letter; look at a difference before you accept it (FL-54)."""
    made = script(statements(load_filters(schemas.filters_path()), MSK), "filters.json", NOW)
    assert made.partition("EXECUTE STATEMENT SET")[0] == GOLDEN.read_text()


def test_the_job_is_the_local_one() -> None:
    """Only tables and the mark of the processor differ: view and inserts are the same, letter by letter."""
    local, aws = (statements(every_filter(), places) for places in (LOCAL, MSK))
    assert [(each.kind, each.name) for each in aws] == [(each.kind, each.name) for each in local]
    for here, there in zip(local, aws, strict=True):
        if here.kind is not Kind.DEFINITION:
            assert there.text == re.sub(r"-flink(['\"])", r"-msk\1", here.text)


def test_every_table_proves_itself_with_iam() -> None:
    """Source, filtered topics and dead letters: each client has its four properties, and none a password (FL-54)."""
    tables = [each.text for each in statements(every_filter(), MSK) if each.text.startswith("CREATE TABLE")]
    assert len(tables) == 3
    for table in tables:
        assert "'properties.security.protocol' = 'SASL_SSL'" in table
        assert "'properties.sasl.mechanism' = 'AWS_MSK_IAM'" in table
        assert "'properties.sasl.jaas.config' = 'software.amazon.msk.auth.iam.IAMLoginModule required;'" in table
        assert "'properties.sasl.client.callback.handler.class' = 'software.amazon.msk" in table
        assert "PLAINTEXT" not in table


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("a,b", "a:9098,b:9098"),
        ("a:9198", "a:9198"),
        ("a, b:14001,", "a:9098,b:14001"),
    ],
)
def test_a_broker_is_asked_on_the_port_of_iam(given: str, taken: str) -> None:
    """9098 where none is named; a port from outside or of a private link is taken as it stands."""
    assert msk_places(Places(given)).bootstrap_servers == taken


def test_equal_filters_give_equal_statements() -> None:
    """Nothing depends on the run (FL-55)."""
    assert statements(every_filter(), MSK) == statements(every_filter(), msk_places(LOCAL))
