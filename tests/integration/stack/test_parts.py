"""The embedded parts that every other integration test stands on."""

import httpx
import psycopg
from confluent_kafka.admin import AdminClient


def test_the_database_speaks_logical_replication(database_url: str) -> None:
    """A fresh database is on a server with `wal_level=logical` and ten slots (CD-2)."""
    with psycopg.connect(database_url) as connection:
        settings = dict(
            connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN ('wal_level', 'max_replication_slots')"
            ).fetchall()
        )
    assert settings == {"wal_level": "logical", "max_replication_slots": "10"}


def test_the_broker_answers_with_one_node(kafka_bootstrap: str) -> None:
    """The embedded broker is alone in its cluster."""
    assert len(AdminClient({"bootstrap.servers": kafka_bootstrap}).list_topics(timeout=10).brokers) == 1


def test_the_session_cluster_has_free_slots(flink_rest_url: str) -> None:
    """The TaskManager has registered and offers slots."""
    overview = httpx.get(f"{flink_rest_url}/overview", timeout=10).json()
    assert overview["taskmanagers"] == 1
    assert overview["slots-total"] >= 4
