"""The shapes that differ in what happens: transactions of every kind, texts of every kind."""

from dataclasses import replace

from tests.integration.cdc.conformance.shapes import identity, shape

_KEYED = "id int PRIMARY KEY, n int, t text"
_ROWS = ("(1, 1, 'a'), (2, 2, 'b')",)
_CONTROL = "(SELECT string_agg(chr(c), '') FROM generate_series(1, 31) c) || chr(127) || chr(128) || chr(8232)"


TRANSACTIONS = (
    shape(
        "many_rows",
        _KEYED,
        _ROWS,
        (
            "INSERT INTO {t} SELECT g, g, 't' || g FROM generate_series(10, 29) g",
            "UPDATE {t} SET n = n + 1 WHERE id BETWEEN 10 AND 19",
            "DELETE FROM {t} WHERE id BETWEEN 10 AND 14",
        ),
    ),
    shape(
        "copied",
        _KEYED,
        _ROWS,
        ("COPY {t} FROM PROGRAM 'printf \"7\\t7\\tx y\\n8\\t\\\\\\\\N\\t\\\\\\\\N\\n9\\t9\\t\\n\"'",),
    ),
    shape(
        "one_transaction",
        _KEYED,
        _ROWS,
        (
            "INSERT INTO {t} VALUES (3, 3, 'c'); UPDATE {t} SET n = 4 WHERE id = 3; DELETE FROM {t} WHERE id = 3",
            "DELETE FROM {t} WHERE id = 1; INSERT INTO {t} VALUES (1, 9, 'again')",
            "UPDATE {t} SET id = 9 WHERE id = 2; UPDATE {t} SET id = 2 WHERE id = 9",
        ),
        enveloped=True,
    ),
    shape(
        "savepoints",
        _KEYED,
        _ROWS,
        (
            (
                "BEGIN; INSERT INTO {t} VALUES (3, 3, 'kept'); SAVEPOINT s; INSERT INTO {t} VALUES (4, 4, 'gone');"
                " UPDATE {t} SET n = 0; ROLLBACK TO s; INSERT INTO {t} VALUES (5, 5, 'kept'); SAVEPOINT r;"
                " DELETE FROM {t} WHERE id = 3; RELEASE r; COMMIT"
            ),
            "BEGIN; INSERT INTO {t} VALUES (6, 6, 'gone'); ROLLBACK",
            "(7, 7, 'kept')",
        ),
    ),
    shape(
        "overlapping",
        _KEYED,
        _ROWS,
        (
            "BEGIN; INSERT INTO {t} VALUES (3, 3, 'began first')",
            "@2 BEGIN; INSERT INTO {t} VALUES (4, 4, 'began second')",
            "UPDATE {t} SET n = 5 WHERE id = 1",
            "@2 UPDATE {t} SET n = 6 WHERE id = 2; COMMIT",
            "UPDATE {t} SET n = 7 WHERE id = 2; COMMIT",
        ),
    ),
    shape(
        "prepared",
        _KEYED,
        _ROWS,
        (
            "BEGIN; INSERT INTO {t} VALUES (3, 3, 'c'); PREPARE TRANSACTION 'conformance'",
            "UPDATE {t} SET n = 5 WHERE id = 1",
            "COMMIT PREPARED 'conformance'",
            "BEGIN; DELETE FROM {t}; PREPARE TRANSACTION 'conformance'",
            "ROLLBACK PREPARED 'conformance'",
        ),
    ),
    shape(
        "merged",
        _KEYED,
        _ROWS,
        (
            "INSERT INTO {t} VALUES (1, 9, 'x'), (5, 5, 'y') ON CONFLICT (id) DO UPDATE SET n = excluded.n",
            (
                "MERGE INTO {t} USING (VALUES (2), (6)) v (id) ON {t}.id = v.id"
                " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, 0, 'new')"
            ),
            "INSERT INTO {t} VALUES (1, 0, 'x') ON CONFLICT DO NOTHING",
        ),
    ),
    replace(
        shape(
            "cascaded",
            "id int PRIMARY KEY, n int",
            ("(1, 1), (2, 2)", "INSERT INTO cascaded_parts VALUES (10, 1), (20, 2)"),
            ("UPDATE {t} SET id = 3 WHERE id = 1", "DELETE FROM {t}"),
            after=[
                "CREATE TABLE cascaded_parts (id int PRIMARY KEY, whole int)",
                "ALTER TABLE cascaded_parts ADD FOREIGN KEY (whole) REFERENCES {t} ON UPDATE CASCADE ON DELETE CASCADE",
            ],
        ),
        tables=(("public", "cascaded"), ("public", "cascaded_parts")),
        published=("cascaded", "cascaded_parts"),
    ),
    shape("unchanged", _KEYED, _ROWS, ("UPDATE {t} SET n = n", "UPDATE {t} SET id = id")),
    shape("truncated", _KEYED, _ROWS, ("TRUNCATE {t}", "(3, 3, 'after')", "TRUNCATE {t} CASCADE"), enveloped=True),
    shape(
        "by_trigger",
        _KEYED,
        _ROWS,
        ("(3, 3, 'c')", "UPDATE {t} SET t = 'x'"),
        after=[
            (
                "CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN NEW.n := coalesce(NEW.n, 0) + 100; RETURN NEW; END $$"
            ),
            "CREATE TRIGGER counted BEFORE INSERT OR UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION counted()",
        ],
    ),
    shape(
        "swapped",
        "id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, n int",
        ("(1, 1), (2, 2)",),
        ("UPDATE {t} SET id = 3 - id",),
        after=[identity("FULL")],
    ),
)

TEXTS = (
    shape(
        "empty_texts",
        "id int PRIMARY KEY, t text, v varchar(3), c char(3), b bytea, j json, a text[], h text NOT NULL",
        ("(1, '', '', '', '', '{}', '{}', '')",),
        ("(2, '', '', '', '', '\"\"', '{\"\"}', '')", "UPDATE {t} SET t = NULL", "DELETE FROM {t}"),
    ),
    shape(
        "control_characters",
        "id int PRIMARY KEY, t text, j jsonb, a text[]",
        (f"INSERT INTO {{t}} SELECT 1, {_CONTROL}, to_jsonb({_CONTROL}), ARRAY[{_CONTROL}]",),
        (f"INSERT INTO {{t}} SELECT 2, {_CONTROL}, to_jsonb({_CONTROL}), ARRAY[{_CONTROL}]", "DELETE FROM {t}"),
    ),
    shape(
        "scripts",
        "id text PRIMARY KEY, t text",
        ("('ключ', '列 😀 é e\u0301 \u202e')",),
        ("('キー\"\\', E'\\uFFFE \\U0010FFFF \\\\u0000 </script>')", "UPDATE {t} SET t = '<>&=''`'", "DELETE FROM {t}"),
    ),
    shape(
        "large_texts",
        "id int PRIMARY KEY, t text, b bytea",
        ("INSERT INTO {t} SELECT 1, repeat('ü', 32768), repeat('x', 65536)::bytea",),
        (
            "INSERT INTO {t} SELECT 2, repeat('\"\\', 32768), repeat('x', 65536)::bytea",
            "UPDATE {t} SET t = repeat('z', 65536)",
            "DELETE FROM {t}",
        ),
    ),
    shape(
        "long_key",
        "id text PRIMARY KEY",
        ("SELECT 1",),
        ("INSERT INTO {t} SELECT repeat('k', 2000)", "DELETE FROM {t}"),
    ),
)
SHAPES = (*TRANSACTIONS, *TEXTS)
