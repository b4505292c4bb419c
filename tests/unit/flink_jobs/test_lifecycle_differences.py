"""What deploying a file would change: filter by filter, and in SQL."""

from collections.abc import Callable
from typing import Any

from flink_jobs import FilterSet, Places, parse_filters
from flink_jobs.avro import Registry
from flink_jobs.lifecycle.differences import FieldChange, difference
from flink_jobs.lifecycle.states import approve

PLACES = Places("broker:9092")
MakeFilters = Callable[..., FilterSet]


def both(*sets: FilterSet) -> FilterSet:
    """Return the filters of several sets."""
    return FilterSet(version=1, filters=tuple(one for each in sets for one in each.filters))


def test_equal_filters_are_no_difference(filters: MakeFilters) -> None:
    """Nor is what their lives have written into the file (FL-71)."""
    runs = filters()
    (one,) = runs.filters
    approved = FilterSet(version=9, filters=(approve(one, ("flink",), "Ada", "2026-11-21T10:00:00Z"),))
    found = difference(runs, approved, PLACES)
    assert not found
    assert found.as_dict() == {"different": False, "changes": [], "sql": ""}


def test_added_and_removed_filters_are_named(filters: MakeFilters) -> None:
    """What runs and is not in the file is told as well (FL-71)."""
    kept, gone = filters(), filters(id="gone", outputTopic="filtered-gone")
    new = filters(id="new", outputTopic="filtered-new")
    found = difference(both(kept, gone), both(kept, new), PLACES)
    assert [(each.id, each.kind) for each in found.changes] == [("new", "added"), ("gone", "removed")]
    assert any(line.startswith("+") and "filtered-new-flink" in line for line in found.sql)
    assert any(line.startswith("-") and "filtered-gone-flink" in line for line in found.sql)


def test_each_changed_field_is_shown_as_it_runs_and_as_it_is_written(filters: MakeFilters) -> None:
    """An edit of the meaning needs another approval, a better name does not (FL-36, FL-71)."""
    runs = filters(status="deployed")
    named = difference(runs, filters(status="deployed", name="Two"), PLACES)
    assert named.changes[0].fields == (FieldChange("name", "One", "Two"),)
    assert named.changes[0].needs_approval is False
    condition: dict[str, Any] = {"field": "event_type", "operator": "equals", "value": "B"}
    (change,) = difference(runs, filters(condition, status="deployed"), PLACES).changes
    assert [each.field for each in change.fields] == ["conditions"]
    assert change.fields[0].file[0]["value"] == "B"
    assert change.needs_approval is True


def test_what_changes_no_sql_is_told_without_sql(filters: MakeFilters) -> None:
    """A description is a difference of the file, and the job stays the same (FL-71)."""
    found = difference(filters(), filters(description="Said better."), PLACES)
    assert found
    assert found.sql == ()


def test_a_form_of_the_api_is_no_difference() -> None:
    """The two forms of a file mean the same (FL-4, FL-71)."""
    conditions = [{"field": "id", "operator": "isNotNull"}]
    plain = {"id": "a", "name": "A", "outputTopic": "t", "enabled": True}
    forms = (
        {**plain, "consumerId": "c", "conditions": conditions},
        {**plain, "consumerGroup": "c", "conditions": {"logic": "AND", "conditions": conditions}},
    )
    left, right = (parse_filters({"version": 1, "filters": [each]}) for each in forms)
    assert not difference(left, right, PLACES)


def test_a_difference_holds_no_secret_of_a_registry(filters: MakeFilters) -> None:
    """Lines around a change are shown as well, among them the options of the sink (FL-71)."""
    places = Places("broker:9092", registry=Registry("http://registry", {"basic-auth.user-info": "me:secret"}))
    found = difference(filters(), filters(id="new", outputTopic="filtered-new"), places)
    assert any("filtered-new-flink" in line for line in found.sql)
    assert "secret" not in "\n".join(found.sql)
