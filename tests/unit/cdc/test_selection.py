"""What is to be sent again is chosen by key, time or type, and becomes a condition that means just that."""

import pytest

from cdc.backfill.command import RequestError
from cdc.backfill.selection import Selection, condition
from cdc.catalog import Table
from cdc.pgoutput.messages import Column, ReplicaIdentity
from cdc.tables import TableName


def table(*key: str) -> Table:
    """Return a table with this key, and the columns of the default time and type."""
    names = dict.fromkeys((*key, "saved_date", "event_type", 'odd "name'))
    columns = tuple(Column(name, 25, -1, name in key) for name in names)
    return Table(TableName("public", "t"), 1, False, ReplicaIdentity.DEFAULT, columns, key, (), None)


def test_nothing_chosen_is_every_row() -> None:
    """A replay of a table without more is the whole table."""
    assert condition(table("id"), Selection()) is None


def test_parts_are_all_to_be_met() -> None:
    """Any of the keys, and any of the types, and from the time on."""
    chosen = Selection(("a", "it's"), "2026-01-02T03:04Z", ("CarCreated", "LoanCreated"))
    assert condition(table("id"), chosen) == (
        """(("id" = 'a') OR ("id" = 'it''s')) AND "saved_date" >= '2026-01-02T03:04Z'"""
        """ AND "event_type" IN ('CarCreated', 'LoanCreated')"""
    )


def test_a_key_of_several_columns_is_a_records_key() -> None:
    """As the topic has it: an object, in any order; numbers as they are written."""
    chosen = Selection(('{"b":7,"a":"x"}',))
    assert condition(table("a", "b"), chosen) == """(("a" = 'x' AND "b" = '7'))"""


def test_a_plain_key_may_look_like_a_number() -> None:
    """A value that happens to be JSON, but no object, is the value."""
    assert condition(table("id"), Selection(("17",))) == """(("id" = '17'))"""


@pytest.mark.parametrize("text", ["x", '{"a":"x"}', '{"a":"x","b":"y","c":"z"}'])
def test_what_is_no_key_of_the_table_is_refused(text: str) -> None:
    """The remedy shows the form."""
    with pytest.raises(RequestError, match="not a key") as caught:
        condition(table("a", "b"), Selection((text,)))
    assert '{"a":' in caught.value.remedy


def test_a_column_that_is_not_there_is_refused() -> None:
    """The remedy names the option and the columns there are."""
    with pytest.raises(RequestError, match="no column created") as caught:
        condition(table("id"), Selection(since="now", time_column="created"))
    assert "--time-column" in caught.value.remedy
    assert "saved_date" in caught.value.remedy


def test_odd_column_names_are_quoted() -> None:
    """A name is never SQL."""
    chosen = Selection(types=("x",), type_column='odd "name')
    assert condition(table("id"), chosen) == """"odd ""name" IN ('x')"""
