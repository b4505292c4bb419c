"""The publications of the shards share out the rows of that of the whole, or say in time why they cannot."""

from typing import Any

import pytest
from psycopg import sql

from cdc.catalog import Table, read_tables
from cdc.errors import CdcError, Kind
from cdc.shards.filters import definitions, read_options, share
from cdc.shards.names import Generation, Part
from cdc.shards.store import publish, published, unpublish

THREE = Generation(1, 3)
KEYS = {
    "text": "'k' || i",
    "varchar(20)": "'k' || i",
    "char(8)": "'k' || i",
    "int": "i",
    "bigint": "i * 4294967296",
    "numeric": "i / 7.0",
    "uuid": "md5(i::text)::uuid",
    "timestamptz": "now() + i * interval '1 s'",
    "date": "date '2020-01-01' + i",
    "bytea": "decode(md5(i::text), 'hex')",
    "boolean": "i > 50",
    "inet": "inet '10.0.0.0' + i",
    "text[]": "ARRAY['k', i::text]",
}


def made(database: Any, generation: Generation = THREE) -> dict[str, Table]:
    """Make the publications of the shards of `p`; return the tables of the whole."""
    tables = read_tables(database.connection, "p")
    options = read_options(database.connection, "p")
    publish(database.connection, "p", definitions("p", tables, options, generation))
    return {table.name.name: table for table in tables}


def of(database: Any, part: Part) -> list[tuple[Any, ...]]:
    """Return what the publication of a shard says of its tables."""
    statement = "SELECT tablename::text, attnames::text[] FROM pg_publication_tables WHERE pubname = %s ORDER BY 1"
    return list(database.run(statement, part.publication("p")))


def test_each_row_is_one_shards_whatever_its_key(database: Any) -> None:
    """Of every built-in type that has a hash, and of several columns; and each shard gets some."""
    names = []
    for number, (kind, value) in enumerate(KEYS.items()):
        names.append(f"t{number}")
        # A key of two values of one column alone would leave a shard empty.
        database.run(f"CREATE TABLE t{number} (a {kind}, b int, PRIMARY KEY (a, b))")
        rows = f"INSERT INTO t{number} SELECT {value}, i FROM generate_series(1, 100) i"  # noqa: S608  # of the list
        database.run(rows)
    database.run("CREATE TABLE single (a text PRIMARY KEY); INSERT INTO single SELECT generate_series(1, 100)")
    database.run(f"CREATE PUBLICATION p FOR TABLE single, {', '.join(names)}")
    for name, table in made(database).items():
        statement = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(
                sql.SQL("count(*) FILTER (WHERE {})").format(share(table, part)) for part in THREE.parts
            ),
            sql.Identifier(name),
        )
        counts = database.connection.execute(statement).fetchone()
        assert sum(counts) == 100, name
        assert min(counts) > 0, name


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("money PRIMARY KEY", "could not identify a hash function for type money"),
        ("mood PRIMARY KEY", "the key column id of public.t has a user-defined type"),
        ("int", "no key but its whole row"),
    ],
)
def test_a_key_that_cannot_be_shared_out_is_refused(database: Any, key: str, said: str) -> None:
    """Before any slot is made, for the server would stop at the first change; nothing is left of the attempt."""
    database.run("CREATE TYPE mood AS ENUM ('a', 'b')")
    database.run(f"CREATE TABLE t (id {key}); CREATE PUBLICATION p FOR TABLE t, event_headers")
    with pytest.raises(CdcError) as caught:
        made(database)
    assert caught.value.kind is Kind.SHARD_KEY
    assert said in str(caught.value)
    assert published(database.connection, "p") == {}


def test_what_the_whole_leaves_out_its_shards_leave_out(database: Any) -> None:
    """Column list, row filter, operations; and a later start knows by the mark whether they still fit."""
    database.run("CREATE TABLE t (id int PRIMARY KEY, kept text, secret text)")
    database.run("CREATE PUBLICATION p FOR TABLE t (id, kept) WHERE (id > 10) WITH (publish = 'insert, update')")
    tables = made(database)
    assert of(database, THREE.parts[1]) == [("t", ["id", "kept"])]
    filters = "SELECT rowfilter LIKE '%%(id > 10)%%' FROM pg_publication_tables WHERE pubname = %s"
    assert database.run(filters, THREE.parts[1].publication("p")) == [(True,)]
    assert read_options(database.connection, THREE.parts[2].publication("p")) == read_options(database.connection, "p")
    before = published(database.connection, "p")
    assert made(database) == tables
    assert published(database.connection, "p") == before
    database.run("ALTER PUBLICATION p ADD TABLE event_headers")
    made(database)
    assert published(database.connection, "p").keys() == before.keys()
    assert {each[0] for each in published(database.connection, "p").values()}.isdisjoint(
        each[0] for each in before.values()
    )
    assert [name for name, _ in of(database, THREE.parts[0])] == ["event_headers", "t"]


def test_publications_of_other_generations_go(database: Any) -> None:
    """Those of the one in use stay, and so do those of others whose names look alike."""
    database.run(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t; CREATE PUBLICATION p_g1 FOR TABLE t"
    )
    for generation in (THREE, Generation(2, 2)):
        made(database, generation)
    unpublish(database.connection, "p", Generation(2, 2))
    names = {name for (name,) in database.run("SELECT pubname::text FROM pg_publication WHERE pubname LIKE 'p%%'")}
    assert names == {"p", "p_g1", "p_g2_0of2", "p_g2_1of2"}
