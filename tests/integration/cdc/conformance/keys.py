"""The shapes that differ in what identifies a row: replica identities, keys of every kind, and none."""

from tests.integration.cdc.conformance.shapes import UPDATE_MOVE_DELETE, Shape, identity, shape

_ROWS = ("(1, 1, 'a'), (2, 2, 'b')",)
_KEYED = "id int PRIMARY KEY, n int, t text"
_TWICE = "id int PRIMARY KEY, u text NOT NULL UNIQUE, n int"

# Type of the key, three values of it.
_KEY_TYPES = (
    ("text", "'a'", "'ü \"'", "''"),
    ("varchar(9)", "'a'", "'b'", "'c'"),
    ("char(3)", "'a'", "'b'", "'c'"),
    ("int8", "9223372036854775807", "-1", "0"),
    ("int2", "1", "2", "3"),
    ("numeric", "1.50", "2", "3"),
    ("numeric(10,2)", "1.5", "2", "3"),
    ("uuid", "'6f1e8d0a-0000-4000-8000-000000000001'", "gen_random_uuid()", "gen_random_uuid()"),
    ("date", "'2026-01-02'", "'2026-01-03'", "'2026-01-04'"),
    ("timestamp", "'2026-01-02 03:04:05.5'", "'2026-01-03'", "'2026-01-04'"),
    ("timestamptz", "'2026-01-02 03:04:05.5Z'", "'2026-01-03 00:00Z'", "'2026-01-04 00:00Z'"),
    ("time", "'03:04:05.5'", "'04:05'", "'05:06'"),
    ("bool", "true", "false", "NULL"),
    ("bytea", "'\\x00ff'", "'\\x01'", "''"),
    ("inet", "'10.0.0.1'", "'10.0.0.2'", "'::1'"),
    ("mood", "'sad'", "'so so'", "NULL"),
    ("price", "1.5", "2.5", "3.5"),
    ("float8", "0.1", "1e300", "-0.5"),
    ("int4range", "'[1,5)'", "'[7,9)'", "'empty'"),
    ("text[]", "'{a}'", "'{b,c}'", "'{}'"),
    ("jsonb", "'1'", "'{\"a\": 1}'", "'[]'"),
    ("interval", "'1 day'", "'1 mon'", "'1 year'"),
    ("pair", "ROW(1,'a')::pair", "ROW(2,'b')::pair", "ROW(3,'c')::pair"),
)


def _slug(name: str) -> str:
    return name.replace("[]", "_array").replace("(", "_").replace(")", "").replace(",", "_")


def _key_of(kind: str, first: str, second: str, third: str) -> Shape:
    move = f"UPDATE {{t}} SET id = {third} WHERE id = {second}"  # noqa: S608  # of this file's texts
    moved = () if third == "NULL" else (move,)
    return shape(
        f"key_{_slug(kind)}",
        f"id {kind} PRIMARY KEY, n int",
        (f"({first}, 1)",),
        (f"({second}, 2)", "UPDATE {t} SET n = 9", *moved, "DELETE FROM {t}"),
    )


SHAPES = (
    shape("plain", _KEYED, _ROWS, ("(4, 4, NULL)", *UPDATE_MOVE_DELETE), enveloped=True),
    shape("full", _KEYED, _ROWS, ("(4, 4, NULL)", *UPDATE_MOVE_DELETE), after=[identity("FULL")], enveloped=True),
    shape(
        "by_index",
        _TWICE,
        ("(1, 'a', 1), (2, 'b', 2)",),
        (
            "(4, 'd', 4)",
            "UPDATE {t} SET n = 7 WHERE id = 1",
            "UPDATE {t} SET id = 3 WHERE id = 1",
            "UPDATE {t} SET u = 'c' WHERE id = 3",
            "DELETE FROM {t} WHERE id = 3",
        ),
        after=[identity("USING INDEX by_index_u_key")],
        enveloped=True,
    ),
    shape(
        "by_index_alone",
        "u text NOT NULL UNIQUE, n int",
        ("('a', 1), ('b', 2)",),
        ("('d', 4)", "UPDATE {t} SET n = 7 WHERE u = 'a'", "UPDATE {t} SET u = 'c' WHERE u = 'a'", "DELETE FROM {t}"),
        after=[identity("USING INDEX by_index_alone_u_key")],
    ),
    shape(
        "by_index_of_two",
        "a int NOT NULL, b text NOT NULL, n int, UNIQUE (b, a)",
        ("(1, 'x', 1)",),
        ("(2, 'y', 2)", "UPDATE {t} SET n = 7", "UPDATE {t} SET b = 'z' WHERE a = 1", "DELETE FROM {t}"),
        after=[identity("USING INDEX by_index_of_two_b_a_key")],
    ),
    shape("nothing", _KEYED, _ROWS, ("(4, 4, NULL)",), after=[identity("NOTHING")]),
    shape("no_key", "a int, t text", ("(1, 'a'), (2, NULL)",), ("(3, 'c')", "(4, NULL), (5, 'e')")),
    shape("no_key_nothing", "a int, t text", ("(1, 'a')",), ("(3, 'c')",), after=[identity("NOTHING")]),
    shape(
        "no_key_full",
        "a int, t text",
        ("(1, 'a'), (2, NULL)",),
        ("(3, 'c')", "UPDATE {t} SET t = 'b' WHERE a = 1", "UPDATE {t} SET t = t WHERE a = 3", "DELETE FROM {t}"),
        after=[identity("FULL")],
        enveloped=True,
    ),
    shape("unique_no_key", "u text NOT NULL UNIQUE, n int", ("('a', 1)",), ("('b', 2)", "('c', NULL)")),
    shape("unique_nullable", "u text UNIQUE, n int", ("('a', 1)",), ("('b', 2)",)),
    shape(
        "unique_full",
        "u text NOT NULL UNIQUE, n int",
        ("('a', 1)",),
        ("('b', 2)", "UPDATE {t} SET n = 3", "UPDATE {t} SET u = 'c' WHERE u = 'a'", "DELETE FROM {t}"),
        after=[identity("FULL")],
    ),
    shape(
        "composite",
        "a int, b text, n int, PRIMARY KEY (a, b)",
        ("(1, 'x', 1), (1, 'y', 2)",),
        ("(2, 'z', 3)", "UPDATE {t} SET n = 9 WHERE a = 1", "UPDATE {t} SET b = 'w' WHERE a = 2", "DELETE FROM {t}"),
        enveloped=True,
    ),
    shape(
        "composite_full",
        "a int, b text, n int, PRIMARY KEY (a, b)",
        ("(1, 'x', 1)",),
        ("(2, 'z', 3)", "UPDATE {t} SET n = 9 WHERE a = 1", "UPDATE {t} SET b = 'w' WHERE a = 2", "DELETE FROM {t}"),
        after=[identity("FULL")],
    ),
    shape(
        "composite_in_another_order",
        "n int, b text, a int, PRIMARY KEY (a, b)",
        ("(1, 'x', 1)",),
        ("(2, 'z', 3)", "UPDATE {t} SET n = 9", "UPDATE {t} SET a = 7 WHERE b = 'z'", "DELETE FROM {t}"),
    ),
    shape("key_last", "n int, t text, id int PRIMARY KEY", ("(1, 'a', 1)",), ("(2, 'b', 2)", *UPDATE_MOVE_DELETE)),
    shape(
        "key_alone", "id int PRIMARY KEY", ("(1)",), ("(2)", "UPDATE {t} SET id = 3 WHERE id = 2", "DELETE FROM {t}")
    ),
    shape(
        "key_with_include",
        "id int, n int, t text, PRIMARY KEY (id) INCLUDE (t)",
        ("(1, 1, 'a')",),
        ("(2, 2, 'b')", "UPDATE {t} SET t = 'c'", *UPDATE_MOVE_DELETE),
    ),
    shape(
        "deferred_key",
        "id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n int",
        ("(1, 1), (2, 2)",),
        ("(4, 4)",),
        after=[identity("FULL")],
    ),
    *(_key_of(*each) for each in _KEY_TYPES),
)
