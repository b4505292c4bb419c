"""A row that no record can hold goes to the dead-letter topic as the server sent it; the stream goes on (CD-66, CD-95).

The rows are real: a database in SQL_ASCII keeps any bytes, and sends them as they are.
"""

import json
from typing import Any

import pytest

from cdc.letters.letterbox import Letter, load, scan
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.messages import Insert

INSERT = "INSERT INTO event_headers (id, event_name, header_data) VALUES ({}, {}, '{{}}')"
BAD = r"E'jalape\xf1o'"
"""Latin-1, as old clients wrote it; no word that may stand in a name of hexadecimal digits, for one is looked for."""


@pytest.fixture
def encoding() -> str:
    """Any bytes are text there."""
    return "SQL_ASCII"


@pytest.fixture(autouse=True)
def _headers_alone(database) -> None:
    """Rows without their events are enough."""
    database.run("ALTER TABLE event_headers DROP CONSTRAINT fk_event_headers_business_events")


@pytest.fixture
def dead(new_topic) -> Any:
    """A dead-letter topic."""
    return new_topic(2)


@pytest.fixture
def other_slot(database) -> Any:
    """A slot of the test's own, from now on; gives the messages of row changes that the server sends, byte for byte."""
    name = f"o_{database.name}"
    database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", name)

    def changes() -> list[bytes]:
        statement = (
            "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL,"
            " 'proto_version', '1', 'publication_names', 'event_headers_debezium_publication')"
        )
        return [data for (data,) in database.run(statement, name) if data[:1] in (b"I", b"U", b"D")]

    return changes


def letters(topic: Any) -> list[Letter]:
    """Return the letters that a topic holds."""
    return list(scan(topic.bootstrap, {}, [topic.name]).letters)


def values(topic: Any) -> list[bytes | None]:
    """Return what they hold."""
    return [load(topic.bootstrap, {}, letter).value for letter in letters(topic)]


def statements(database: Any, *given: str) -> None:
    """Run statements in one transaction."""
    with database.connection.transaction():
        for each in given:
            database.connection.execute(each.encode())


@pytest.mark.parametrize("at", [0, 2, 4], ids=["first", "middle", "last"])
def test_the_bytes_of_the_change_are_kept(database, topic, dead, launch, other_slot, wait_until, at: int) -> None:
    """Wherever it stands in its transaction; what a second slot is sent is what the letter holds."""
    engine = launch(CDC_DEAD_LETTER_TOPIC=dead.name)
    engine.wait_for("streaming")
    rows = [INSERT.format(f"'{number}'", BAD if number == at else "'fine'") for number in range(5)]
    statements(database, *rows)
    wait_until(lambda: len(topic.records()) == 4, "the other rows")
    wait_until(lambda: letters(dead), "the letter")
    assert engine.stop() == 0
    assert values(dead) == [other_slot()[at]]
    (letter,) = letters(dead)
    assert letter.key == b'{"id":"%d"}' % at
    assert "column event_name" in letter.error
    assert "jalape" not in json.dumps(engine.log)
    positions = [record.headers["cdc.position"] for record in topic.records()] + [letter.headers["cdc.position"]]
    assert sorted(int(position.rsplit(b"/", 1)[1]) for position in positions) == [4, 8, 12, 16, 20]


def test_updates_key_changes_and_keys_that_are_no_text(
    database, topic, dead, launch, slot, other_slot, wait_until
) -> None:
    """One letter for the whole change, be it of a key; and the row's next change that can be a record is one."""
    engine = launch(CDC_DEAD_LETTER_TOPIC=dead.name)
    engine.wait_for("streaming")
    statements(database, INSERT.format("'a'", "'fine'"))
    statements(database, r"UPDATE event_headers SET event_name = E'caf\xe9', id = 'b' WHERE id = 'a'")
    statements(database, "UPDATE event_headers SET event_name = 'fine again'")
    statements(database, r"UPDATE event_headers SET id = E'caf\xe9'")
    statements(database, "DELETE FROM event_headers")
    end = database.wal_end()
    wait_until(lambda: database.confirmed(slot) >= end, "everything confirmed")
    engine.kill()
    launch(CDC_DEAD_LETTER_TOPIC=dead.name).wait_for("streaming")
    sent = other_slot()
    assert [change[:1] for change in sent] == [b"I", b"U", b"U", b"U", b"D"]
    assert values(dead) == [sent[1], sent[3], sent[4]]
    assert [(record.key, record.operation) for record in sorted(topic.records(), key=lambda each: each.key)] == [
        ("a", "c"),
        ("b", "u"),
    ]


def test_a_snapshot_completes_with_its_poison_rows_as_letters(
    database, topic, dead, launch, slot, other_slot, wait_until
) -> None:
    """First, middle and last row; each once, though the engine is killed in the snapshot (CD-113)."""
    bad = {0, 150, 299}
    rows = [INSERT.format(f"'{n:03}'", BAD if n in bad else "'fine'") for n in range(300)]
    statements(database, *rows)
    first = launch(CDC_DEAD_LETTER_TOPIC=dead.name)
    first.wait_for("snapshot_started")
    first.kill()
    engine = launch(CDC_DEAD_LETTER_TOPIC=dead.name)
    engine.wait_for("streaming")
    records = topic.records()
    assert sorted(record.key for record in records) == [f"{n:03}" for n in range(300) if n not in bad]
    assert {record.operation for record in records} == {"r"}
    inserted = [change for change in other_slot() if isinstance(decode(change), Insert)]
    assert sorted(value or b"" for value in values(dead)) == sorted(inserted[n] for n in bad)
    assert all("cdc.xid" not in letter.headers for letter in letters(dead))


def test_without_a_dead_letter_topic_the_row_stops_the_engine(database, launch) -> None:
    """The remedy names the topic that would have taken it."""
    engine = launch()
    engine.wait_for("streaming")
    statements(database, INSERT.format("'a'", BAD))
    assert engine.exit_code() == 1
    said = engine.events("stopped_by_error")[0]
    assert said["kind"] == "unencodable"
    assert "CDC_DEAD_LETTER_TOPIC" in said["remedy"]
