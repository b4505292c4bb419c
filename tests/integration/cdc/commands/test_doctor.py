"""`headwater cdc doctor` finds each planted fault, with the SQL that cures it; `status` tells where it stands."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from stack.ports import free_ports

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(headwater_cdc) -> Ask:
    """Run `headwater cdc …`."""
    return headwater_cdc  # type: ignore[no-any-return]


def findings(document: dict[str, Any], severity: str = "error") -> dict[str, dict[str, Any]]:
    """Return the findings of a severity by kind; each names its remedy."""
    assert all(each["remedy"] and each["found"] for each in document["findings"])
    return {each["kind"]: each for each in document["findings"] if each["severity"] == severity}


def test_a_sound_installation_has_no_error_before_while_and_after_the_engine_runs(
    database, launch, ask: Ask, slot
) -> None:
    """Before it the slot is missing, after it unread: warnings, with the WAL it holds back."""
    code, document = ask("doctor")
    assert (code, document["ok"]) == (0, True)
    assert findings(document, "warning").keys() == {"dead_letter_topic", "slot_lost", "wal_budget"}
    engine = launch()
    engine.wait_for("streaming")
    code, document = ask("doctor")
    assert code == 0
    assert findings(document, "warning").keys() == {"dead_letter_topic", "wal_budget"}
    assert engine.stop() == 0
    database.insert("a")
    code, document = ask("doctor")
    assert code == 0
    unread = findings(document, "warning")["slot_active"]
    assert "bytes of WAL" in unread["found"]
    database.run(unread["sql"])
    assert database.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot) == []


def test_a_slot_dropped_behind_the_engine(database, topic, launch, ask: Ask, slot, wait_until) -> None:
    """The topic remembers it: an error, not a first start."""
    engine = launch()
    engine.wait_for("streaming")
    database.insert("a")
    wait_until(topic.records, "a record")
    assert engine.stop() == 0
    database.run("SELECT pg_drop_replication_slot(%s)", slot)
    code, document = ask("doctor")
    assert code == 1
    assert "holds records up to" in findings(document)["slot_lost"]["found"]


def test_a_publication_that_lacks_the_table_or_is_not_there(database, ask: Ask) -> None:
    """Either statement cures its fault as it stands."""
    database.run("ALTER PUBLICATION event_headers_debezium_publication DROP TABLE event_headers")
    code, document = ask("doctor")
    assert code == 1
    database.run(findings(document)["publication"]["sql"])
    assert ask("doctor")[0] == 0
    database.run("DROP PUBLICATION event_headers_debezium_publication")
    code, document = ask("doctor")
    assert code == 1
    assert "there is no publication" in findings(document)["publication"]["found"]
    database.run(findings(document)["publication"]["sql"])
    assert ask("doctor")[0] == 0


def test_a_table_without_replica_identity(database, ask: Ask) -> None:
    """Its updates would fail in the application; its inserts are carried, so it is a warning."""
    database.run("ALTER TABLE event_headers REPLICA IDENTITY NOTHING")
    code, document = ask("doctor")
    assert code == 0
    database.run(findings(document, "warning")["table_key"]["sql"])
    assert "table_key" not in findings(ask("doctor")[1], "warning")


def test_a_missing_topic_and_table(ask: Ask) -> None:
    """Both at once: nobody has to ask twice."""
    code, document = ask("doctor", CDC_TOPIC="there-is-none", CDC_TABLES="public.nowhere")
    assert code == 1
    assert findings(document).keys() == {"topic", "table"}
    assert "there-is-none" in findings(document)["topic"]["found"]


def test_a_role_that_may_neither_replicate_nor_read(database, ask: Ask) -> None:
    """Both statements together cure it; the doctor itself needs no right but to connect."""
    name = f"r_{database.name}"
    database.run(f"CREATE ROLE {name} LOGIN")
    try:
        url = database.url.replace("postgres@", f"{name}@")
        code, document = ask("doctor", DATABASE_URL=url)
        assert code == 1
        assert findings(document).keys() == {"replication_right"}
        for each in document["findings"]:
            if each["kind"] == "replication_right":
                database.run(each["sql"])
        assert ask("doctor", DATABASE_URL=url)[0] == 0
    finally:
        database.run(f"DROP OWNED BY {name}")
        database.run(f"DROP ROLE {name}")


def test_a_slot_that_outgrows_its_budget(database, ask: Ask, slot, wait_until) -> None:
    """Unreserved is an error while it can still be saved; lost is one too, and the budget is no warning any more."""
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        admin.execute("SELECT pg_reload_conf()")
        try:
            state = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s"

            def outgrown() -> bool:
                admin.execute("SELECT pg_logical_emit_message(false, 'x', 'y'), pg_switch_wal()")
                return database.run(state, slot) == [("unreserved",)]

            wait_until(outgrown, "the slot is unreserved")
            code, document = ask("doctor")
            assert code == 1
            assert "bytes of WAL" in findings(document)["slot_invalidated"]["found"]
            assert "wal_budget" not in findings(document, "warning")
            admin.execute("CHECKPOINT")
            wait_until(lambda: database.run(state, slot) == [("lost",)], "the slot is lost")
            code, document = ask("doctor")
            assert code == 1
            database.run(findings(document)["slot_invalidated"]["sql"])
            assert ask("doctor")[0] == 0
        finally:
            admin.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
            admin.execute("SELECT pg_reload_conf()")


def test_what_cannot_be_reached_is_a_finding_and_the_rest_is_examined(database, ask: Ask) -> None:
    """PostgreSQL away: the topic is still looked at, and no password is printed."""
    url = "postgresql://u:hunter2@127.0.0.1:1/none"
    code, document = ask("doctor", DATABASE_URL=url, CDC_TOPIC="there-is-none")
    assert code == 1
    assert findings(document).keys() == {"topic", "database_unreachable"}
    assert "hunter2" not in json.dumps(document)


def test_status_follows_the_engine(database, topic, launch, ask: Ask, slot, wait_until) -> None:
    """Missing, streaming with the last position, then down with what has piled up."""
    port = str(free_ports(1)[0])
    _, before = ask("status", CDC_HTTP_PORT=port)
    assert (before["slot"]["state"], before["engine"]["state"]) == ("missing", "down")
    assert before["topics"] == [{"name": topic.name, "partitions": 6, "last_position": None, "dead_letters": 0}]
    engine = launch(CDC_HTTP_PORT=port)
    engine.wait_for("streaming")
    database.insert("a", "b")
    wait_until(lambda: len(topic.records()) == 2, "both records")
    wait_until(lambda: database.confirmed(slot) == database.wal_end(), "everything confirmed")
    code, now = ask("status", CDC_HTTP_PORT=port)
    assert code == 0
    assert (now["engine"]["state"], now["engine"]["ready"], now["engine"]["lag_seconds"]) == ("streaming", True, 0)
    assert (now["slot"]["state"], now["slot"]["wal_status"], now["problems"]) == ("active", "reserved", [])
    last = max(record.headers["cdc.position"].decode() for record in topic.records())
    assert now["topics"][0]["last_position"] == last
    assert ask("status")[1]["engine"]["state"] == "unwatched"
    assert engine.stop() == 0
    database.insert("c")
    _, after = ask("status", CDC_HTTP_PORT=port)
    assert (after["engine"]["state"], after["slot"]["state"]) == ("down", "inactive")
    assert after["slot"]["lag_bytes"] > 0
    assert after["slot"]["retained_wal_bytes"] >= after["slot"]["lag_bytes"]
    assert after["topics"][0]["last_position"] == last
