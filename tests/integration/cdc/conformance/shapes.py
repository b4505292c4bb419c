"""Owns what a shape of a table is to the conformance test: how it is made, the rows that are there, what happens to it.

In every statement `{t}` stands for the table. A step is one transaction: several statements in one text are one, and a
text that begins with `@2 ` runs on the second connection, so that transactions overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

OTHER_CONNECTION = "@2 "


@dataclass(frozen=True)
class Shape:
    """One table, or a few that belong together."""

    name: str
    made: tuple[str, ...]
    """What creates it, before either engine starts."""
    there: tuple[str, ...] = ()
    """What puts the rows there that the initial snapshot reads."""
    steps: tuple[str, ...] = ()
    """What happens while both engines stream."""
    tables: tuple[tuple[str, str], ...] = ()
    """Schema and name of each captured table."""
    published: tuple[str, ...] = ()
    """The tables as the publication's list has them, with column lists and row filters."""
    paced: bool = False
    """Both engines have read each step before the next: Debezium asks the live catalogue about what it reads."""
    unseen: bool = False
    """Its steps happen while both engines are stopped."""
    leaves: bool = False
    """Of a publication that sends partitions under their own names."""
    enveloped: bool = False
    """Its changes are compared as full envelopes too."""
    stops: bool = False
    """Debezium's task fails at it, so that it needs a connector of its own."""


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def shape(
    name: str,
    columns: str,
    there: Sequence[str] = (),
    steps: Sequence[str] = (),
    *,
    table: tuple[str, str] | None = None,
    after: Sequence[str] = (),
    before: Sequence[str] = (),
    clause: str = "",
    **marks: bool,
) -> Shape:
    """Return a shape of one table.

    Args:
        name: The shape's, and the table's where `table` gives no other.
        columns: What stands in the parentheses of CREATE TABLE; what follows them may follow.
        there: Rows of the snapshot; without INSERT in front, what follows VALUES.
        steps: Likewise, while streaming.
        table: Schema and name.
        after: Further statements that make it.
        before: Statements that come before CREATE TABLE.
        clause: Column list and row filter in the publication.
        marks: The flags of a shape.
    """
    where = table or ("public", name)
    sql = f"{quoted(where[0])}.{quoted(where[1])}"
    text = columns if columns.lstrip().startswith(("(", "PARTITION", "INHERITS")) else f"({columns})"

    def filled(statement: str) -> str:
        rows = statement.startswith("(") or statement == "DEFAULT VALUES"
        insert = f"INSERT INTO {{t}} {'' if statement == 'DEFAULT VALUES' else 'VALUES '}{statement}"
        return (insert if rows else statement).replace("{t}", sql)

    return Shape(
        name,
        tuple(map(filled, (*before, f"CREATE TABLE {{t}} {text}", *after))),
        tuple(map(filled, there)),
        tuple(map(filled, steps)),
        (where,),
        (f"{sql} {clause}".rstrip(),),
        **marks,
    )


UPDATE_MOVE_DELETE = (
    "UPDATE {t} SET n = n + 1 WHERE id = 1",
    "UPDATE {t} SET id = 3 WHERE id = 1",
    "DELETE FROM {t} WHERE id = 3",
)
"""The life of a row with the integer key `id` and the number `n`."""


def identity(name: str) -> str:
    """Return the statement that gives a table this replica identity."""
    return f"ALTER TABLE {{t}} REPLICA IDENTITY {name}"
