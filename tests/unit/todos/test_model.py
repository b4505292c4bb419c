"""What may be sent, and when a todo is overdue."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.todos.model import TodoChanges, TodoInput, UserInput, findings, identity, instant, overdue

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given_date", "stored"),
    [
        ("2026-06-15", "2026-06-15"),
        ("2026-06-15T10:00:00Z", "2026-06-15T10:00:00.000000Z"),
        ("2026-06-15T10:00:00+02:00", "2026-06-15T08:00:00.000000Z"),
        ("2026-06-15T10:00", "2026-06-15T10:00:00.000000Z"),
    ],
)
def test_a_date_is_kept_in_one_form(given_date: str, stored: str) -> None:
    """A date stays one, a moment is kept in UTC (LC-130)."""
    assert TodoInput.model_validate({"title": "t", "due_date": given_date}).due_date == stored


@given(st.text(max_size=30) | st.from_regex(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d)?)?", fullmatch=True))
def test_no_date_text_breaks_the_validation(text: str) -> None:
    """Whatever the text, it is a date or a finding (LC-130)."""
    found: list[str] = []
    try:
        todo = TodoInput.model_validate({"title": "t", "due_date": text})
        overdue({"status": "pending", "due_date": todo.due_date}, NOON)
    except ValidationError as error:
        found = findings(error)
    assert all(finding.startswith("due_date: ") for finding in found)


@pytest.mark.parametrize(
    ("due", "status", "late"),
    [
        ("2026-06-14", "pending", True),
        ("2026-06-15", "pending", False),
        ("2026-06-15T11:59:59.000000Z", "in_progress", True),
        ("2026-06-15T12:00:01.000000Z", "pending", False),
        ("2026-06-14", "completed", False),
        ("2026-06-14", "cancelled", False),
        (None, "pending", False),
    ],
)
def test_only_an_open_todo_past_its_date_is_overdue(due: str | None, status: str, late: bool) -> None:
    """A day counts until its end; completed and cancelled ones never (LC-133)."""
    assert overdue({"due_date": due, "status": status}, NOON) is late


def test_an_update_holds_what_was_sent() -> None:
    """Null takes a value away, an absent field stays as it is (LC-132)."""
    changes = TodoChanges.model_validate({"description": None, "status": "completed", "id": "x"})
    assert changes.given() == {"description": None, "status": "completed"}


@pytest.mark.parametrize("field", ["title", "status", "priority"])
def test_an_update_cannot_empty_what_must_be_there(field: str) -> None:
    """Null is refused for title, status and priority (LC-132)."""
    with pytest.raises(ValidationError):
        TodoChanges.model_validate({field: None})


def test_texts_are_taken_up_to_their_limits() -> None:
    """The longest name, address, department, title and description are accepted (LC-127, LC-130)."""
    user: dict[str, Any] = {"name": "n" * 255, "email": f"{'a' * 64}@{'b' * 60}.com", "department": "d" * 100}
    assert UserInput.model_validate(user).model_dump() == user
    todo = {"title": "t" * 255, "description": "d" * 1000}
    assert TodoInput.model_validate(todo).description == "d" * 1000


def test_a_finding_repeats_no_value() -> None:
    """What was sent does not come back in an error (LC-127)."""
    with pytest.raises(ValidationError) as caught:
        UserInput.model_validate({"name": "s", "email": "secret-not-an-address"})
    text = " ".join(findings(caught.value))
    assert "email: " in text
    assert "secret" not in text


def test_an_id_has_one_spelling() -> None:
    """Upper case is the same id; braces, bare digits and other texts are none (LC-129)."""
    lower = "0d6ee5f3-94b5-4d4f-9d0d-3e5a3c4d4b0a"
    assert identity(lower.upper()) == lower
    assert [identity(text) for text in (f"{{{lower}}}", lower.replace("-", ""), "", "17")] == [None] * 4


def test_the_order_of_moments_is_that_of_their_texts() -> None:
    """One width, so that the index of DynamoDB sorts by time (LC-126)."""
    assert instant(NOON) < instant(NOON.replace(microsecond=1)) < instant(NOON.replace(second=1))
