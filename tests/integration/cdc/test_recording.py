"""The recorded protocol that the unit tests mutate is what a real server still sends.

Record it again with `HEADWATER_RECORD=1 uv run pytest tests/integration/cdc/test_recording.py`.
"""

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cdc import stream
from cdc.pgoutput.frames import FrameReader

RECORDED = Path(__file__).parents[2] / "unit/cdc/recorded_protocol.json.gz"
TABLES = "public.a, public.typed"
# Every change in a block of its own: a server of version 16 or newer does so for its own tests.
IMMEDIATE = "%20-c%20debug_logical_replication_streaming%3Dimmediate"

SCHEMA = [
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE TABLE a (id int PRIMARY KEY, note text, pad text)",
    """CREATE TABLE typed (id int PRIMARY KEY, b bool, i2 int2, i8 int8, f float8, n numeric, c char(4), ts timestamptz,
       t timestamp, d date, tm time, tz timetz, iv interval, u uuid, js json, jb jsonb, by bytea, bt bit(9), m money,
       ia int4[], ta text[], nr numrange, tr tstzrange, ip inet, mo mood, po positive, moa mood[])""",
    "ALTER TABLE typed REPLICA IDENTITY FULL",
    "CREATE PUBLICATION p FOR TABLE a, typed",
]
ROW = """INSERT INTO typed VALUES (%s, true, -7, 9223372036854775807, 1e300, 12345.670, 'ab', '2026-01-02 03:04:05.6Z',
  '0044-03-15 BC', 'infinity', '24:00:00', '10:15:30+02', '1 year -2 days 3.5 seconds', gen_random_uuid(), '{"a": 1}',
  '[1, 2]', '\\x00ff', B'101010101', 12.5, '{1,NULL,3}', '{{"a","b,"},{"\\"",""}}', '[1.5,)', '["2026-01-01",]',
  '10.0.0.1/8', 'ok', 5, '{sad,ok}')"""
STORY: list[str] = [
    "INSERT INTO a SELECT n, 'n' || n, repeat('x', n) FROM generate_series(1, 12) n",
    ROW % 1, "INSERT INTO typed (id) VALUES (2)", "UPDATE typed SET f = 'nan', n = 'nan', d = '-infinity' WHERE id = 1",
    "SAVEPOINT s", "UPDATE a SET note = NULL WHERE id < 4", "DELETE FROM a WHERE id = 3", "SAVEPOINT t",
    ROW % 3, "RELEASE t", "UPDATE a SET id = 100 WHERE id = 5", "ROLLBACK TO s",
    "DELETE FROM typed WHERE id = 2", "SELECT pg_logical_emit_message(true, 'outbox', '{\"x\": 1}')",
    "ALTER TABLE a ADD COLUMN extra mood DEFAULT 'sad'", "UPDATE a SET extra = 'ok' WHERE id > 8",
    "ALTER TABLE a DROP COLUMN extra", "UPDATE a SET pad = repeat('y', 300) WHERE id = 7", "TRUNCATE a, typed",
    ROW % 4, "INSERT INTO a VALUES (1, 'ü 列 😀', '')",
]  # fmt: skip
SESSIONS: dict[str, dict[str, Any]] = {
    "protocol 1": {"streaming": False},
    "protocol 4, streamed": {"options": IMMEDIATE},
    "protocol 4, streamed and prepared": {"options": IMMEDIATE},
    "protocol 4, prepared": {"streaming": False},
}


def transactions(database: Any) -> None:
    """Let everything happen once: a transaction, one rolled back, one prepared for each end, and a message outside."""
    for end in ("COMMIT", "ROLLBACK", "PREPARE TRANSACTION 'one'", "PREPARE TRANSACTION 'two'"):
        database.run("BEGIN")
        for statement in STORY:
            database.run(statement)
        database.run(end)
        if "PREPARE" in end:
            finish = "COMMIT PREPARED 'one'" if "one" in end else "ROLLBACK PREPARED 'two'"
            database.run(finish)
        database.run("TRUNCATE a, typed")
    # The transaction id makes the commit flush the log: a message alone waits for somebody else's.
    database.run("SELECT pg_logical_emit_message(false, 'beat', 'now'), pg_current_xact_id()")


def kinds(sessions: dict[str, list[bytes]]) -> dict[str, set[str]]:
    """Return the kinds of messages in each session; a lone keepalive more or less is the server's affair."""
    found = {}
    for name, frames in sessions.items():
        reader = FrameReader()
        found[name] = set(Counter(type(reader.read(frame)).__name__ for frame in frames)) - {"Keepalive"}
    return found


def test_the_recorded_protocol_is_what_the_server_sends(
    database: Any, listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of message of each protocol is in the recording, whole and streamed, prepared and rolled back."""
    if database.connection.info.server_version < 160_000:
        pytest.skip("the recording is of the newest server")
    for statement in SCHEMA:
        database.run(statement)
    listeners = {}
    for number, (name, options) in enumerate(SESSIONS.items()):
        phases = "prepared" in name
        database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput', false, %s)", f"r{number}", phases)
        monkeypatch.setattr(stream, "_protocol", lambda _version, name=name: 1 if name == "protocol 1" else 4)
        listeners[name] = listen(f"r{number}", TABLES, **options)
    transactions(database)
    for listener in listeners.values():
        listener.take()
    sessions = {name: listener.frames for name, listener in listeners.items()}
    if os.environ.get("HEADWATER_RECORD"):
        text = json.dumps({name: [frame.hex() for frame in frames] for name, frames in sessions.items()})
        RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))
    recorded = json.loads(gzip.decompress(RECORDED.read_bytes()))
    assert kinds({name: [bytes.fromhex(frame) for frame in frames] for name, frames in recorded.items()}) == kinds(
        sessions
    )
