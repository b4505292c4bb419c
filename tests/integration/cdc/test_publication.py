"""The publication decides what is captured; what cannot work is refused before streaming, with SQL that cures it."""

from typing import Any


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
