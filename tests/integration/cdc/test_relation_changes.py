"""The shape of a table changes in the middle of the stream: each row is read by the shape it was written in."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

CHANGES = [
    ("INSERT INTO a VALUES (1, 'one')", {"note": "one"}),
    ("ALTER TABLE a ADD COLUMN extra int DEFAULT 7", None),
    ("INSERT INTO a VALUES (2, 'two', 8)", {"note": "two", "extra": 8}),
    ("UPDATE a SET note = 'uno' WHERE id = 1", {"note": "uno", "extra": 7}),
    ("ALTER TABLE a RENAME note TO remark", None),
    ("INSERT INTO a VALUES (3, 'three', 9)", {"remark": "three", "extra": 9}),
    ("ALTER TABLE a ALTER extra TYPE text USING 'n' || extra", None),
    ("INSERT INTO a VALUES (4, 'four', 'ten')", {"remark": "four", "extra": "ten"}),
    ("ALTER TABLE a DROP COLUMN remark", None),
    ("UPDATE a SET extra = 'last' WHERE id = 4", {"extra": "last"}),
    ("ALTER TABLE a ALTER extra DROP DEFAULT", None),
    ("ALTER TABLE a ALTER extra TYPE jsonb USING '{}'", None),
    ("INSERT INTO a VALUES (5, '[1]')", {"extra": "[1]"}),
]


def fields(change: Any) -> dict[str, Any]:
    """Return the columns of a record but its id."""
    return {name: value for name, value in json.loads(change.value).items() if name != "id" and name[:2] != "__"}


@pytest.mark.parametrize("one_transaction", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_each_row_is_read_by_the_shape_it_had(database, listen, one_transaction: bool, streaming: bool) -> None:
    """Columns added, renamed, retyped and dropped; the table is gone when the stream is read: nobody asks for it."""
    database.run("CREATE TABLE a (id int PRIMARY KEY, note text)")
    database.run("CREATE PUBLICATION p FOR TABLE a")
    database.run("SELECT pg_create_logical_replication_slot('shapes', 'pgoutput')")
    # So much in the same transaction that the server streams it.
    bulk = "SELECT pg_logical_emit_message(true, 'bulk', repeat('x', 70000))"
    if one_transaction:
        database.run("BEGIN")
    for statement, _ in CHANGES:
        database.run(statement)
        if one_transaction:
            database.run(bulk)
    if one_transaction:
        database.run("COMMIT")
    database.run("DROP TABLE a")
    listener = listen("shapes", "public.a", streaming=streaming)
    listener.take()
    assert [fields(change) for change in listener.changes] == [expected for _, expected in CHANGES if expected]
    assert bool(listener.seen["StreamStart"]) is (streaming and one_transaction)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_table_that_is_renamed_away_is_a_warning_and_comes_back(database, listen, streamed: bool) -> None:
    """What happens under the other name is in no topic, and the log says so with the remedy."""
    database.run("CREATE TABLE a (id int PRIMARY KEY, note text)")
    database.run("CREATE PUBLICATION p FOR TABLE a")
    listener = listen("renamed", "public.a")
    if streamed:
        database.run("BEGIN")
    for statement in (
        "INSERT INTO a VALUES (1, 'kept')",
        "ALTER TABLE a RENAME TO b",
        "INSERT INTO b VALUES (2, 'not captured')",
        "ALTER TABLE b RENAME TO a",
        "INSERT INTO a VALUES (3, 'kept')",
    ):
        database.run(statement)
        if streamed:
            database.run("SELECT pg_logical_emit_message(true, 'bulk', repeat('x', 70000))")
    if streamed:
        database.run("COMMIT")
    with capture_logs() as logs:
        listener.take()
    assert [json.loads(change.key)["id"] for change in listener.changes] == [1, 3]
    (warning,) = [entry for entry in logs if entry["event"] == "table_renamed"]
    assert (warning["table"], warning["renamed_to"]) == ("public.a", "public.b")


@pytest.mark.parametrize("streaming", ["on", "off"])
def test_a_streamed_transaction_reaches_kafka_once(database, topic, launch, wait_until, streaming: str) -> None:
    """Through the whole engine, killed in the middle of it; a savepoint that was rolled back is not there."""
    url = f"{database.url}?options=-c%20logical_decoding_work_mem%3D64kB"
    engine = launch(DATABASE_URL=url, CDC_STREAMING=streaming, CDC_STREAM_MEMORY_BYTES="65536")
    engine.wait_for("streaming")
    with database.connection.transaction():
        database.insert(*(f"a{number}" for number in range(500)))
        database.run("SAVEPOINT s")
        database.insert(*(f"b{number}" for number in range(500)))
        database.run("ROLLBACK TO s")
        database.insert(*(f"c{number}" for number in range(500)))
    wait_until(topic.records, "the first records")
    engine.kill()
    again = launch(DATABASE_URL=url, CDC_STREAMING="off" if streaming == "on" else "on")
    again.wait_for("streaming")
    database.insert("last")
    wait_until(lambda: topic.of("last"), "the last record")
    keys = sorted(record.key for record in topic.records())
    assert keys == sorted([*(f"{name}{number}" for name in "ac" for number in range(500)), "last"])
    assert again.stop() == 0


def test_a_message_in_doubt_is_settled_by_asking_for_the_whole_transaction(database, topic, launch, wait_until) -> None:
    """The server does not say to which savepoint a logical message belongs; sent whole, it leaves out what is gone."""
    engine = launch(DATABASE_URL=f"{database.url}?options=-c%20logical_decoding_work_mem%3D64kB")
    engine.wait_for("streaming")
    with database.connection.transaction():
        database.insert(*(f"a{number}" for number in range(300)))
        database.run("SAVEPOINT s")
        database.run("SELECT pg_logical_emit_message(true, 'outbox', repeat('x', 70000))")
        database.insert(*(f"b{number}" for number in range(300)))
        database.run("ROLLBACK TO s")
        database.insert("last")
    wait_until(lambda: topic.of("last"), "the last record")
    assert engine.events("retrying")[0]["kind"] == "stream_unclear"
    records = topic.records()
    assert len(records) == 301
    # A row and a header table, of which one is captured: the message counts nowhere, for it was never committed.
    (last,) = topic.of("last")
    assert int(last.headers["cdc.position"].rsplit(b"/", 1)[1]) == 4 * 301
    assert engine.stop() == 0
