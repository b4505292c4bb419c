"""The shapes whose table changes: under the eyes of both engines, and while neither of them reads."""

from tests.integration.cdc.conformance.shapes import Shape, shape

_KEYED = "id int PRIMARY KEY, n int, t text"
_ROWS = ("(1, 1, 'a'), (2, 2, 'b')",)


def _changed(
    name: str, *steps: str, columns: str = _KEYED, there: tuple[str, ...] = _ROWS, identity: str = ""
) -> Shape:
    """Return a shape whose table changes in the stream."""
    after = [f"ALTER TABLE {{t}} REPLICA IDENTITY {identity}"] if identity else []
    return shape(name, columns, there, steps, after=after, paced=True)


def _changed_unseen(
    name: str,
    *steps: str,
    columns: str = _KEYED,
    there: tuple[str, ...] = _ROWS,
    before: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
) -> Shape:
    """Return a shape whose table changes while nobody reads the log: what is read later was written before."""
    return shape(name, columns, there, steps, before=before, after=after, unseen=True)


CHANGED = (
    _changed(
        "added_column",
        "ALTER TABLE {t} ADD extra text",
        "INSERT INTO {t} VALUES (3, 3, 'c', 'x')",
        "UPDATE {t} SET n = 9 WHERE id = 1",
        "DELETE FROM {t}",
    ),
    _changed(
        "added_default",
        "ALTER TABLE {t} ADD extra int NOT NULL DEFAULT 7, ADD more text DEFAULT 'd'",
        "INSERT INTO {t} (id) VALUES (3)",
        "INSERT INTO {t} VALUES (4, 4, 'd', 8, NULL)",
        "UPDATE {t} SET n = 9 WHERE id = 1",
        "DELETE FROM {t} WHERE id = 1",
    ),
    _changed(
        "dropped_column",
        "ALTER TABLE {t} DROP n",
        "INSERT INTO {t} VALUES (3, 'c')",
        "UPDATE {t} SET t = 'x' WHERE id = 1",
        "DELETE FROM {t} WHERE id = 1",
    ),
    _changed(
        "renamed_column",
        "ALTER TABLE {t} RENAME t TO note",
        "INSERT INTO {t} VALUES (3, 3, 'c')",
        "UPDATE {t} SET note = 'x' WHERE id = 1",
        "DELETE FROM {t} WHERE id = 1",
    ),
    _changed(
        "renamed_key",
        "ALTER TABLE {t} RENAME id TO code",
        "INSERT INTO {t} VALUES (3, 3, 'c')",
        "UPDATE {t} SET code = 4 WHERE code = 3",
        "DELETE FROM {t} WHERE code = 1",
    ),
    _changed(
        "retyped_column",
        "ALTER TABLE {t} ALTER n TYPE numeric(10,2)",
        "INSERT INTO {t} VALUES (3, 3.5, 'c')",
        "ALTER TABLE {t} ALTER n TYPE text USING 'n' || n",
        "UPDATE {t} SET t = 'x' WHERE id = 3",
        "DELETE FROM {t} WHERE id = 1",
    ),
    _changed(
        "retyped_key",
        "ALTER TABLE {t} ALTER id TYPE text",
        "INSERT INTO {t} VALUES ('x', 3, 'c')",
        "DELETE FROM {t} WHERE id = '1'",
    ),
    _changed(
        "renamed_table",
        "(3, 3, 'c')",
        "ALTER TABLE {t} RENAME TO renamed_away",
        "INSERT INTO renamed_away VALUES (4, 4, 'not captured')",
        "ALTER TABLE renamed_away RENAME TO renamed_table",
        "(5, 5, 'e')",
    ),
    _changed(
        "changed_identity",
        "ALTER TABLE {t} REPLICA IDENTITY FULL",
        "UPDATE {t} SET n = 9 WHERE id = 1",
        "DELETE FROM {t} WHERE id = 1",
        "ALTER TABLE {t} REPLICA IDENTITY DEFAULT",
        "DELETE FROM {t} WHERE id = 2",
    ),
    _changed(
        "changed_key",
        "ALTER TABLE {t} DROP CONSTRAINT changed_key_pkey, ALTER t SET NOT NULL, ADD PRIMARY KEY (t)",
        "INSERT INTO {t} VALUES (3, 3, 'c')",
        "UPDATE {t} SET t = 'd' WHERE id = 3",
        "DELETE FROM {t} WHERE id = 1",
    ),
    _changed(
        "gained_key",
        "ALTER TABLE {t} ADD PRIMARY KEY (id)",
        "INSERT INTO {t} VALUES (3, 3, 'c')",
        "UPDATE {t} SET id = 4 WHERE id = 3",
        "DELETE FROM {t} WHERE id = 1",
        columns="id int, n int, t text",
    ),
    _changed(
        "changed_enum",
        "ALTER TYPE mood_of_change ADD VALUE 'new mood'",
        "INSERT INTO {t} VALUES (3, 'new mood')",
        "CREATE TYPE later AS ENUM ('late'); ALTER TABLE {t} ADD l later, ADD ls later[]",
        "INSERT INTO {t} VALUES (4, 'old', 'late', '{late}')",
        columns="id int PRIMARY KEY, m mood_of_change",
        there=("(1, 'old')",),
    ),
    _changed(
        "replaced_column",
        "ALTER TABLE {t} DROP n, ADD n text",
        "INSERT INTO {t} VALUES (3, 'c', 'text now')",
        "UPDATE {t} SET n = 'x' WHERE id = 1",
        "DELETE FROM {t} WHERE id = 1",
        identity="FULL",
    ),
    _changed(
        "made_required",
        "ALTER TABLE {t} ALTER n SET NOT NULL, ALTER t SET DEFAULT 'd'",
        "INSERT INTO {t} (id, n) VALUES (3, 3)",
        "INSERT INTO {t} VALUES (4, 4, NULL)",
        "DELETE FROM {t} WHERE id = 1",
    ),
    _changed(
        "in_one_transaction",
        (
            "INSERT INTO {t} VALUES (3, 3, 'c'); ALTER TABLE {t} ADD extra int DEFAULT 5;"
            " INSERT INTO {t} VALUES (4, 4, 'd', 6); ALTER TABLE {t} DROP t; INSERT INTO {t} VALUES (5, 5, 7)"
        ),
    ),
)
CHANGED_UNSEEN = (
    _changed_unseen(
        "unseen_table",
        "(3, 3, 'c')",
        "UPDATE {t} SET n = 9 WHERE id = 1",
        "DROP TABLE {t}; CREATE TABLE {t} (code text PRIMARY KEY); ALTER PUBLICATION conformance_main ADD TABLE {t}",
        "('x')",
    ),
    _changed_unseen("unseen_column", "(3, 3, 'c')", "ALTER TABLE {t} DROP n", "(4, 'd')", "DELETE FROM {t}"),
    _changed_unseen("unseen_name", "(3, 3, 'c')", "ALTER TABLE {t} RENAME t TO note", "(4, 4, 'd')", "DELETE FROM {t}"),
    _changed_unseen("unseen_key_name", "(3, 3, 'c')", "ALTER TABLE {t} RENAME id TO code", "(4, 4, 'd')"),
    _changed_unseen(
        "unseen_key_name_full",
        "(3, 3, 'c')",
        "ALTER TABLE {t} RENAME id TO code",
        "(4, 4, 'd')",
        after=("ALTER TABLE {t} REPLICA IDENTITY FULL",),
    ),
    _changed_unseen("unseen_type", "(3, 3, 'c')", "ALTER TABLE {t} ALTER n TYPE text", "(4, 'x', 'd')"),
    _changed_unseen(
        "unseen_enum",
        "(3, 'old')",
        "ALTER TABLE {t} ALTER m TYPE text; DROP TYPE unseen",
        "(4, 'new')",
        columns="id int PRIMARY KEY, m unseen",
        there=("(1, 'old')",),
        before=("CREATE TYPE unseen AS ENUM ('old')",),
    ),
    _changed_unseen(
        "unseen_key",
        "(3, 3, 'c')",
        "ALTER TABLE {t} DROP CONSTRAINT unseen_key_pkey, ALTER n SET NOT NULL, ADD PRIMARY KEY (n)",
        "(4, 4, 'd')",
        "UPDATE {t} SET t = 'x'",
    ),
)
SHAPES = (*CHANGED, *CHANGED_UNSEEN)
