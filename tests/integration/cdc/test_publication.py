"""The publication decides what is captured; what cannot work is refused before streaming, with SQL that cures it."""

import re
from typing import Any

import httpx
import pytest

from stack.ports import free_ports


def test_a_column_list_without_the_key_is_refused_and_its_sql_cures_it(
    database: Any, topic: Any, launch: Any, wait_until: Any
) -> None:
    """The server would refuse the application's updates; after the statement the list and the filter still hold."""
    database.run("DROP PUBLICATION event_headers_debezium_publication")
    database.run(
        "CREATE PUBLICATION event_headers_debezium_publication FOR TABLE event_headers (event_name) WHERE (id <> 'no')"
    )
    engine = launch()
    assert engine.exit_code() == 1
    said = engine.events("finding")[0]
    assert said["kind"] == "publication"
    assert "lacks id" in said["detail"]
    for statement in said["remedy"].removeprefix("Publish these columns too: ").split(";"):
        if statement.strip():
            database.run(statement)
    engine = launch()
    engine.wait_for("streaming")
    database.insert("yes", "no")
    database.run("UPDATE event_headers SET event_name = 'other' WHERE id = 'yes'")
    wait_until(lambda: len(topic.records()) == 2, "both records")
    assert [record.operation for record in topic.of("yes")] == ["c", "u"]
    assert {name for name in topic.of("yes")[0].fields if not name.startswith("__")} == {"id", "event_name"}


def test_an_operation_that_the_publication_omits_is_warned_of(database: Any, launch: Any) -> None:
    """The engine runs; nobody finds out by missing deletions."""
    database.run("ALTER PUBLICATION event_headers_debezium_publication SET (publish = 'insert, update')")
    engine = launch()
    engine.wait_for("streaming")
    (said,) = [line for line in engine.events("finding") if line["kind"] == "publication"]
    assert said["level"] == "warning"
    assert "delete, truncate" in said["detail"]


PUBLICATION = "event_headers_debezium_publication"
CREATE = f"CREATE PUBLICATION {PUBLICATION} FOR TABLE event_headers"


@pytest.fixture
def recreated(database: Any, topic: Any, launch: Any, wait_until: Any) -> dict[str, Any]:
    """A publication that somebody dropped and created again while a row was written; what the engine says of it."""
    engine = launch()
    engine.wait_for("streaming")
    database.insert("before")
    wait_until(lambda: topic.of("before"), "a record")
    assert engine.stop() == 0
    database.run(f"DROP PUBLICATION {PUBLICATION}")
    database.insert("lost")
    database.run(CREATE)
    engine = launch()
    assert engine.exit_code() == 1
    return dict(engine.events("stopped_by_error")[0])


def test_a_recreated_publication_is_refused_and_a_new_snapshot_cures_it(
    recreated: dict[str, Any], database: Any, topic: Any, launch: Any, diagnosed: Any, wait_until: Any
) -> None:
    """PostgreSQL 18 would leave the row out without a word; when_needed brings it, and the engine goes on."""
    assert recreated["kind"] == "publication_recreated"
    assert "publication_recreated" in diagnosed()
    assert topic.of("lost") == []
    engine = launch(CDC_SNAPSHOT_MODE="when_needed")
    engine.wait_for("streaming")
    database.insert("after")
    wait_until(lambda: topic.of("after"), "what comes afterwards")
    assert [record.operation for record in topic.of("lost")] == ["r"]
    assert engine.stop() == 0
    engine = launch()
    engine.wait_for("streaming")
    assert engine.stop() == 0


@pytest.mark.parametrize("server", ["18"], indirect=True)
def test_the_gap_of_a_publication_can_be_accepted(
    recreated: dict[str, Any], database: Any, topic: Any, launch: Any, wait_until: Any
) -> None:
    """The operator knows that nothing was written; the next start needs no word any more."""
    (given,) = re.findall(r"CDC_ACCEPT_GAP=(\S+)", recreated["detail"])
    engine = launch(CDC_ACCEPT_GAP=given)
    engine.wait_for("streaming")
    database.insert("after")
    wait_until(lambda: topic.of("after"), "what comes afterwards")
    assert engine.stop() == 0
    engine = launch()
    engine.wait_for("streaming")
    assert engine.stop() == 0


@pytest.mark.parametrize("server", ["18"], indirect=True)
@pytest.mark.parametrize("again", [False, True], ids=["dropped", "recreated"])
def test_a_publication_that_goes_while_it_is_read_ends_the_engine(
    database: Any, topic: Any, launch: Any, wait_until: Any, *, again: bool
) -> None:
    """Within a look of the guard; and the next start is refused, whoever has created it by then."""
    (port,) = free_ports(1)
    engine = launch(CDC_GUARD_SECONDS="1", CDC_HTTP_PORT=str(port))
    engine.wait_for("streaming")
    database.insert("before")
    wait_until(lambda: topic.of("before"), "a record")
    # The guard's first look is what its later ones are compared with.
    wait_until(lambda: _figure(port, "headwater_cdc_retained_wal_bytes") > 0, "the guard has looked")
    database.run(f"DROP PUBLICATION {PUBLICATION}")
    if again:
        database.run(CREATE)
    assert engine.exit_code() == 1
    assert engine.events("stopped_by_error")[0]["kind"] == "publication_recreated"
    engine = launch()
    assert engine.exit_code() == 1
    assert engine.events("stopped_by_error")[0]["kind"] == "publication_recreated"


def _figure(port: int, name: str) -> float:
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0.0)
