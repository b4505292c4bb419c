"""`CDC_FORMAT=debezium` from real servers: envelopes of a snapshot and of every change, through a restart."""

import json
from collections.abc import Callable
from typing import Any


def test_every_change_is_an_envelope(
    database: Any, new_topic: Callable[..., Any], launch: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    """Every operation there is, with the server's transaction, LSN and time."""
    topic = new_topic(1)
    database.run("CREATE TABLE items (id int PRIMARY KEY, note text, big text)")
    database.run("ALTER TABLE items ALTER COLUMN big SET STORAGE EXTERNAL")
    database.run("INSERT INTO items VALUES (1, 'there', 'b')")
    settings = {
        "CDC_FORMAT": "debezium",
        "CDC_TRUNCATE": "emit",
        "CDC_TABLES": "public.items",
        "PUBLICATION_NAME": "items",
        "CDC_TOPIC": topic.name,
    }
    engine = launch(**settings)
    engine.wait_for("streaming")
    with database.connection.transaction():
        database.run("INSERT INTO items VALUES (2, 'new', repeat('x', 10000))")
        xid = int(database.run("SELECT pg_current_xact_id()::text")[0][0])
    database.run("UPDATE items SET note = 'changed' WHERE id = 2")
    wait_until(lambda: len(topic.records()) == 3, "three records")
    engine.kill()
    engine = launch(**settings)
    database.run("ALTER TABLE items REPLICA IDENTITY FULL")
    database.run("UPDATE items SET note = 'again' WHERE id = 2")
    database.run("UPDATE items SET id = 3 WHERE id = 2")
    database.run("DELETE FROM items WHERE id = 3")
    database.run("TRUNCATE items")
    wait_until(lambda: len(topic.records()) == 10, "ten records")
    found = topic.records()
    envelopes = [record.fields for record in found]
    assert [each and each["op"] for each in envelopes] == ["r", "c", "u", "u", "d", None, "c", "d", None, "t"]
    read, created, plain, full, moved, _, anew, gone, _, cut = envelopes
    assert (read["after"], read["source"]["snapshot"]) == ({"id": 1, "note": "there", "big": "b"}, "true")
    assert (created["before"], created["after"]["id"]) == (None, 2)
    source = created["source"]
    assert (source["db"], source["schema"], source["table"]) == (database.name, "public", "items")
    assert (source["txId"], source["snapshot"], source["connector"]) == (xid, "false", "postgresql")
    lsn = found[1].headers["cdc.position"].decode().split("/")
    assert source["lsn"] == int(lsn[0], 16) << 32 | int(lsn[1], 16)
    assert source["ts_us"] == int(found[1].headers["cdc.commit_us"])
    assert plain["after"] == {"id": 2, "note": "changed"}
    assert json.loads(found[2].headers["cdc.unavailable"]) == ["big"]
    assert (full["before"]["note"], full["after"]["note"]) == ("changed", "again")
    assert full["after"]["big"] == "x" * 10_000
    assert (moved["before"]["id"], moved["after"], anew["after"]["id"]) == (2, None, 3)
    assert found[4].headers["__debezium.newkey"] == b'{"id":3}'
    assert found[6].headers["__debezium.oldkey"] == b'{"id":2}'
    assert (gone["before"]["note"], gone["after"], cut["before"], cut["after"]) == ("again", None, None, None)
    assert engine.stop() == 0
