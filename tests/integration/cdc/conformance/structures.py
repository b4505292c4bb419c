"""The shapes that differ in how a table is built: names, partitions, inheritance, defaults, generation, width."""

from dataclasses import replace

from tests.integration.cdc.conformance.shapes import UPDATE_MOVE_DELETE, Shape, identity, quoted, shape

_KEYED = "id int PRIMARY KEY, n int, t text"
_LIFE = ("(4, 4, NULL)", *UPDATE_MOVE_DELETE)
_ROWS = ("(1, 1, 'a'), (2, 2, 'b')",)


def _named(name: str, schema: str, table: str) -> Shape:
    before = () if schema == "public" else (f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}",)
    return shape(name, _KEYED, _ROWS, _LIFE, table=(schema, table), before=before)


def _partitioned(name: str, leaves: bool) -> Shape:
    made = shape(
        name,
        "(id int, day int, n text, PRIMARY KEY (id, day)) PARTITION BY LIST (day)",
        ("(1, 1, 'read'), (2, 2, 'read')",),
        ("(3, 1, 'made')", "UPDATE {t} SET n = 'new'", "UPDATE {t} SET day = 2 WHERE id = 1", "DELETE FROM {t}"),
        after=[f"CREATE TABLE {name}_{day} PARTITION OF {{t}} FOR VALUES IN ({day})" for day in (1, 2)],
    )
    if not leaves:
        return made
    return replace(made, leaves=True, tables=tuple(("public", f"{name}_{day}") for day in (1, 2)))


_WIDE = [f"c{number} {('int', 'text', 'numeric', 'bool')[number % 4]}" for number in range(400)]
_LARGE = "repeat('x', 9000)"
_TOASTED = "id int PRIMARY KEY, n int, t text, b bytea, a int[], j jsonb, v varchar, c prose"
_EXTERNAL = [f"ALTER TABLE {{t}} ALTER {column} SET STORAGE EXTERNAL" for column in "tbajvc"]
_NUMBERS = "(SELECT array_agg(g) FROM generate_series(1, 3000) g)"
_VALUES = f"1, {_LARGE}, {_LARGE}::bytea, {_NUMBERS}, to_jsonb({_LARGE}), {_LARGE}, {_LARGE}"
_FILLED = f"INSERT INTO {{t}} SELECT %s, {_VALUES}"  # of this file's texts
_TOAST_LIFE = (
    _FILLED % 2,
    "UPDATE {t} SET n = 2 WHERE id = 2",
    "UPDATE {t} SET t = 'short' WHERE id = 2",
    "UPDATE {t} SET id = 3 WHERE id = 2",
    "DELETE FROM {t}",
)
_DEFAULTS = (
    "id int PRIMARY KEY, a int DEFAULT 5, b text DEFAULT 'x', c timestamptz DEFAULT now(), d numeric(5,2) DEFAULT 1.5,"
    " e bool DEFAULT true, f date DEFAULT '2026-01-02', g jsonb DEFAULT '{}', h uuid DEFAULT gen_random_uuid(),"
    " i text[] DEFAULT '{a}', j interval DEFAULT '1 day', k bytea DEFAULT '\\x01', l float8 DEFAULT 0.5,"
    " m mood DEFAULT 'sad', o timestamp DEFAULT '2026-01-02 03:04:05.5', p time DEFAULT '03:04'"
)
_EXPLICIT = ", ".join(["NULL"] * 15)
_REQUIRED = (
    "a int2 NOT NULL, b text NOT NULL, c timestamptz NOT NULL, d numeric(5,2) NOT NULL, e bool NOT NULL,"
    " f date NOT NULL, g jsonb NOT NULL, h uuid NOT NULL, i text[] NOT NULL, j interval NOT NULL, k bytea NOT NULL,"
    " l float8 NOT NULL, m mood NOT NULL, o timestamp NOT NULL, p time NOT NULL, q inet NOT NULL, r int8 NOT NULL,"
    " s float4 NOT NULL, u numeric NOT NULL, v timetz NOT NULL, w money NOT NULL, x xml_or_text NOT NULL,"
    " y point NOT NULL, z bit(3) NOT NULL, aa bit NOT NULL, ab char(3) NOT NULL, ac int4range NOT NULL,"
    " ad tsvector NOT NULL, ae macaddr NOT NULL, af oid NOT NULL"
)
_GIVEN = (
    "1, 'x', '2026-01-02 03:04:05.123456Z', 1.5, true, '2026-01-02', '{}', '6f1e8d0a-0000-4000-8000-000000000001',"
    " '{a}', '1 day', '\\x01', 0.5, 'sad', '2026-01-02 03:04:05.5', '03:04', '10.0.0.1', 8, 0.25, 2.5, '03:04+01', 3,"
    " 'x', '(1,2)', B'101', B'1', 'abc', '[1,2)', 'a b', '08:00:2b:01:02:03', 7"
)

_HEADER = (
    "INSERT INTO business_events VALUES (%s, 'n', NULL, NULL, NULL, '{}'); INSERT INTO event_headers VALUES (%s, %s)"
)
_SHIPPED = Shape(
    "event_headers",
    (),
    (_HEADER % ("'read'", "'read'", "'n', 't', now(), NULL, '{}'"),),
    (
        _HEADER % ("'made'", "'made'", "E'a\\n', NULL, '2026-01-02 03:04:05.5Z', NULL, '{\"a\": \"ä\"}'"),
        "UPDATE event_headers SET event_type = ' ' WHERE id = 'made'",
        "DELETE FROM event_headers",
    ),
    (("public", "event_headers"),),
    ("public.event_headers",),
    enveloped=True,
)
"""The table that is captured unless somebody asks for others; it comes with the database."""

SHAPES = (
    _SHIPPED,
    _named("upper_case", "public", "Upper_Case"),
    _named("dotted", "public", "dot.ted"),
    _named("spaced", "public", "two words"),
    _named("quotes", "public", "qu\"ote's"),
    _named("unicode", "public", "täble_列_😀"),
    _named("longest", "public", "l" * 63),
    _named("symbols", "public", "a-b$c%d+e*(f)[g]|h^"),
    _named("comma", "public", "one, two"),
    _named("reserved", "public", "select"),
    _named("odd_schema", "Odd. Schema", "odd_table"),
    _named("other_schema", "other", "elsewhere"),
    _named("same_name", "other", "plain"),
    shape(
        "odd_columns",
        'id int PRIMARY KEY, "Up" text, "d.ot" text, "s p" text, "q""t" text, "ü列" text, "%s" text, "op" text,'
        ' "before" text, "after" text, "__x" text, "1st" text, "a-b" text, "' + "c" * 63 + '" text',
        ("(1, " + ", ".join(["'v'"] * 13) + ")",),
        ("(2, " + ", ".join(["'w'"] * 13) + ")", "UPDATE {t} SET op = NULL", "DELETE FROM {t}"),
    ),
    shape(
        "differ_in_case",
        'id int PRIMARY KEY, a text, "A" text, "ID" text',
        ("(1, 'lower', 'upper', 'x')",),
        ("(2, 'lower', 'upper', 'x')", """UPDATE {t} SET "A" = 'new'""", "DELETE FROM {t}"),
        stops=True,
    ),
    shape("no_column", "", ("DEFAULT VALUES",), ("DEFAULT VALUES",), stops=True),
    shape(
        "odd_key", '"I d.ü" int PRIMARY KEY, n int', ("(1, 1)",), ("(2, 2)", "UPDATE {t} SET n = 3", "DELETE FROM {t}")
    ),
    _partitioned("by_root", leaves=False),
    _partitioned("by_leaf", leaves=True),
    replace(
        shape(
            "parent",
            _KEYED,
            ("(1, 1, 'parent')", "INSERT INTO child VALUES (2, 2, 'child', 'more')"),
            (
                "(3, 3, 'parent')",
                "INSERT INTO child VALUES (4, 4, 'child', 'more')",
                "UPDATE {t} SET n = 9",
                "DELETE FROM {t}",
            ),
            after=["CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS ({t})"],
        ),
        name="inherited",
        tables=(("public", "parent"), ("public", "child")),
        published=("ONLY parent", "ONLY child"),
    ),
    shape(
        "generated",
        "id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, t text",
        ("(1, 1, DEFAULT, 'a')",),
        ("(2, 2, DEFAULT, 'b')", *UPDATE_MOVE_DELETE),
    ),
    shape(
        "generated_virtual",
        "id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) VIRTUAL, t text",
        ("(1, 1, DEFAULT, 'a')",),
        ("(2, 2, DEFAULT, 'b')", *UPDATE_MOVE_DELETE),
    ),
    shape(
        "identity_always",
        "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int",
        ("INSERT INTO {t} (n) VALUES (1)",),
        ("INSERT INTO {t} (n) VALUES (2)", "UPDATE {t} SET n = 3", "DELETE FROM {t}"),
    ),
    shape(
        "identity_by_default",
        "id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n serial",
        ("DEFAULT VALUES",),
        ("DEFAULT VALUES", "(7, 7)", "DELETE FROM {t}"),
    ),
    shape(
        "defaults",
        _DEFAULTS,
        (f"(1, {_EXPLICIT})", "INSERT INTO {t} (id) VALUES (2)"),
        (
            f"(3, {_EXPLICIT})",
            "INSERT INTO {t} (id) VALUES (4)",
            "UPDATE {t} SET a = NULL, b = NULL WHERE id = 4",
            "DELETE FROM {t}",
        ),
        enveloped=True,
    ),
    shape(
        "defaults_full",
        _DEFAULTS,
        (f"(1, {_EXPLICIT})",),
        (f"(3, {_EXPLICIT})", "UPDATE {t} SET a = 1 WHERE id = 3", "DELETE FROM {t}"),
        after=[identity("FULL")],
    ),
    shape(
        "required_defaults",
        "id int PRIMARY KEY, a int NOT NULL DEFAULT 5, b text NOT NULL DEFAULT 'x', c numeric NOT NULL DEFAULT 2.5",
        ("INSERT INTO {t} (id) VALUES (1)",),
        ("INSERT INTO {t} (id) VALUES (2)", "UPDATE {t} SET a = 0, b = ''", "DELETE FROM {t}"),
    ),
    shape(
        "required",
        f"id int PRIMARY KEY, {_REQUIRED}",
        (f"(1, {_GIVEN})",),
        (f"(2, {_GIVEN})", "UPDATE {t} SET a = 9", "UPDATE {t} SET id = 3 WHERE id = 2", "DELETE FROM {t}"),
        before=["CREATE DOMAIN xml_or_text AS text"],
        enveloped=True,
    ),
    shape(
        "wide",
        f"id int PRIMARY KEY, {', '.join(_WIDE)}",
        ("INSERT INTO {t} (id, c0, c1, c399) VALUES (1, 7, 'x', false)",),
        ("INSERT INTO {t} (id, c398) VALUES (2, 1.50)", "UPDATE {t} SET c1 = 'y'", "DELETE FROM {t}"),
    ),
    shape("toast", _TOASTED, (_FILLED % 1,), _TOAST_LIFE, after=_EXTERNAL, enveloped=True),
    shape("toast_full", _TOASTED, (_FILLED % 1,), _TOAST_LIFE, after=[*_EXTERNAL, identity("FULL")], enveloped=True),
    shape(
        "column_list",
        "id int PRIMARY KEY, shown text, hidden text NOT NULL, n int",
        ("(1, 'a', 'secret', 1)",),
        ("(2, 'b', 'secret', 2)", "UPDATE {t} SET hidden = 'other'", *UPDATE_MOVE_DELETE),
        clause="(id, shown, n)",
    ),
    shape(
        "row_filter",
        "id int, kept bool, n int, PRIMARY KEY (id, kept)",
        ("(1, true, 1), (2, false, 2)",),
        (
            "(3, true, 3), (4, false, 4)",
            "UPDATE {t} SET n = 9",
            "UPDATE {t} SET kept = NOT kept",
            "DELETE FROM {t}",
        ),
        clause="WHERE (kept)",
    ),
    shape(
        "list_and_filter",
        "id int PRIMARY KEY, n int, hidden text",
        ("(1, 1, 'secret'), (-1, 1, 'secret')",),
        ("(2, 2, 'secret'), (-2, 2, 'secret')", "DELETE FROM {t}"),
        clause="(id, n) WHERE (id > 0)",
    ),
    shape(
        "reserved_fields",
        "id int PRIMARY KEY, __op text, __deleted text",
        (),
        ("(1, 'x', 'y')",),
        stops=True,
    ),
)
