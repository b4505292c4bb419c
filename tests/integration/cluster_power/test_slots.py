"""The slot guard, asking a real database (LC-68)."""

import psycopg
import pytest

from database import DatabaseSettings
from functions.cluster_power import auto_stop
from functions.cluster_power.slots import SlotsError, active_slots, database_settings
from stack.ports import free_ports
from tests.integration.cluster_power.conftest import reading
from tests.unit.cluster_power.conftest import Aws, call


@pytest.fixture
def guarded(aws: Aws, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Auto-stop with a database, over a cluster that is unused by all other signs."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    aws.up(hours=30)
    return database_url


def test_an_active_slot_keeps_the_cluster(aws: Aws, guarded: str) -> None:
    """The answer names the slot and the ways out (LC-68)."""
    with reading(guarded, "connector"):
        said = call(auto_stop)
    assert (said.status, said.body["status"], aws.status) == (200, "available", "available")
    assert said.body["reason"] == (
        "active replication slots: connector; stop their readers, or set ALLOW_STOP_WITH_ACTIVE_SLOTS=true"
    )


def test_a_flag_lets_a_cluster_with_an_active_slot_stop(
    aws: Aws, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is somebody's who accepts that (LC-68)."""
    monkeypatch.setenv("ALLOW_STOP_WITH_ACTIVE_SLOTS", "true")
    with reading(guarded, "connector"):
        assert call(auto_stop).body["status"] == "stopping"
    assert aws.status == "stopped"


def test_a_slot_that_nobody_reads_does_not_keep_the_cluster(aws: Aws, guarded: str) -> None:
    """There is no reader that a stop could cut off (LC-68)."""
    with psycopg.connect(guarded, autocommit=True) as session:
        session.execute("SELECT pg_create_logical_replication_slot('resting', 'pgoutput')")
    assert call(auto_stop).body["status"] == "stopping"
    assert aws.status == "stopped"


def test_a_database_that_cannot_be_asked_keeps_the_cluster(
    aws: Aws, guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason says why, without a credential (LC-68)."""
    url = f"postgresql://someone:hunter2@127.0.0.1:{free_ports(1)[0]}/cars"
    monkeypatch.setenv("DATABASE_URL", url)
    said = call(auto_stop)
    assert (said.status, aws.status) == (200, "available")
    assert said.body["reason"].startswith("the database cannot be asked for its replication slots: connection")
    assert "hunter2" not in said.body["reason"]


def test_a_slow_database_is_not_waited_for(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question has three seconds at most, so that the function keeps within five (LC-68, LC-173)."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    settings = database_settings()
    assert isinstance(settings, DatabaseSettings)
    assert (settings.db_connect_timeout, settings.db_statement_timeout) == (3.0, 3.0)
    with psycopg.connect(database_url) as blocker:
        blocker.execute("LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE")
        slow = settings.model_copy(update={"db_connect_timeout": 0.1})
        with pytest.raises(SlotsError):
            active_slots(slow)
