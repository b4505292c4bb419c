"""The checker's judgement, with stores of lists."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from functions.todos.checker import check

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
OLD, YOUNG = "2026-06-15T11:00:00.000000Z", "2026-06-15T11:59:00.000000Z"
USER, GONE = "0d6ee5f3-94b5-4d4f-9d0d-3e5a3c4d4b0a", "1d6ee5f3-94b5-4d4f-9d0d-3e5a3c4d4b0a"


class Users:
    """Answer with what is there, by turns."""

    def __init__(self, *there: set[str]) -> None:
        self._there = list(there)

    def existing(self, identities: set[str], _deadline: object) -> frozenset[str]:
        """Return who is there this time."""
        there = self._there.pop(0) if len(self._there) > 1 else self._there[0]
        return frozenset(identities & there)


class Items:
    """Keep todos in a list, two to a page."""

    def __init__(self, *todos: dict[str, str]) -> None:
        self.todos = list(todos)

    def pages(self) -> Iterator[list[dict[str, str]]]:
        """Yield them."""
        todos = list(self.todos)
        for start in range(0, len(todos), 2):
            yield todos[start : start + 2]

    def delete_of(self, identity: str, user_id: str) -> bool:
        """Remove one."""
        found = [todo for todo in self.todos if (todo["id"], todo.get("user_id", "")) == (identity, user_id)]
        self.todos = [todo for todo in self.todos if todo not in found]
        return bool(found)


def run(users: Any, items: Any, *, repair: bool = True) -> Any:
    """Check with a grace of fifteen minutes."""
    return check(users, items, lambda: NOW, 900, repair=repair)


def todo(name: str, user: str, created: str = OLD) -> dict[str, str]:
    """Return a todo."""
    return {"id": name, "user_id": user, "created_at": created}


def test_orphans_on_every_page_are_removed_and_nothing_else() -> None:
    """Old todos without a user go, all others stay (LC-137)."""
    items = Items(todo("a", USER), todo("b", GONE), todo("c", GONE, YOUNG), todo("d", "no id"), todo("e", USER))
    report = run(Users({USER}), items)
    assert (report.checked, report.young, report.orphans, report.repaired) == (5, 1, 2, 2)
    assert [each["id"] for each in items.todos] == ["a", "c", "e"]
    assert report.consistent
    assert report.examples == ["b", "d"]


def test_a_look_removes_nothing() -> None:
    """Without the order to repair it only reports (LC-137)."""
    items = Items(todo("b", GONE))
    report = run(Users({USER}), items, repair=False)
    assert (report.orphans, report.repaired, report.consistent, len(items.todos)) == (1, 0, False, 1)


def test_a_user_who_is_there_at_the_second_look_keeps_the_todos() -> None:
    """Just before a removal the user is looked for again (LC-137)."""
    items = Items(todo("b", GONE))
    report = run(Users(set(), {GONE}), items)
    assert (report.orphans, len(items.todos)) == (0, 1)


def test_a_todo_removed_by_somebody_else_is_no_orphan() -> None:
    """Two checkers at once do not count one removal twice (LC-137)."""
    items = Items(todo("b", GONE))
    items.delete_of = lambda *_: False  # type: ignore[method-assign]
    report = run(Users({USER}), items)
    assert (report.orphans, report.repaired) == (0, 0)
