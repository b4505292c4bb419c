"""The states of a filter: which moves there are, what an edit does, and that no way leads to an illegal state."""

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import schemas
from flink_jobs import FilterSet, parse_filters
from flink_jobs.filters import Filter, Logic, Status, to_file_form
from flink_jobs.lifecycle.states import (
    MOVES,
    MoveError,
    approve,
    begin,
    definition,
    deployed,
    deprecate,
    disable,
    failed,
    is_approved,
    move,
    settle,
    unapproved,
    waiting,
)

AT = "2026-11-21T10:00:00Z"
VALUES = ("A", "B")


def make(status: str | None = None, value: str = "A", **changes: object) -> Filter:
    """Return a filter of this status that takes one type of event."""
    body: dict[str, Any] = {
        "id": "one",
        "name": "One",
        "consumerId": "one-consumer",
        "outputTopic": "filtered-one",
        "conditions": [{"field": "event_type", "operator": "equals", "value": value}],
        "enabled": True,
        **changes,
    }
    return parse_filters({"version": 1, "filters": [body | ({"status": status} if status else {})]}).filters[0]


def edited(one: Filter, value: str) -> Filter:
    """Return the filter with another condition, as an editor leaves it."""
    return one.model_copy(update={"conditions": make(value=value).conditions})


def test_a_filter_goes_the_way_of_the_contract() -> None:
    """Created, approved, deploying, deployed, deprecated, deleted (FL-31, FL-34)."""
    one = make()
    seen = [one.status]
    for step in (
        lambda each: approve(each, each.targets, "Ada", AT),
        lambda each: begin(each, AT),
        lambda each: deployed(each, "flink", AT, ("job",)),
        deprecate,
        lambda each: move(each, Status.DELETED),
    ):
        one = step(one)
        seen.append(one.status)
    assert [str(each) for each in seen] == [
        "pending_approval",
        "approved",
        "deploying",
        "deployed",
        "deprecated",
        "deleted",
    ]
    assert (one.approved_by, one.approved_at, one.deployed_at) == ("Ada", AT, AT)
    assert (one.flink_statement_ids, one.enabled) == (("job",), False)


@pytest.mark.parametrize("status", list(Status))
def test_a_move_that_is_not_allowed_is_refused_with_those_that_are(status: Status) -> None:
    """The error names the filter, where it stands and where it can go (FL-31)."""
    one = make(status)
    for wanted in Status:
        if wanted in MOVES[status]:
            assert move(one, wanted).status is wanted
            continue
        with pytest.raises(MoveError) as caught:
            move(one, wanted)
        assert f"'one' is {status} and cannot become {wanted}" in str(caught.value)
        assert all(str(each) in str(caught.value) for each in MOVES[status])


def test_approval_is_given_for_each_target_and_the_whole_follows() -> None:
    """Who and when, for each; approving twice changes nothing (FL-34)."""
    one = approve(make(targets=["flink", "spring"]), ("spring",), "Ada", AT)
    assert (one.status, unapproved(one), one.approved_by) == (Status.PENDING_APPROVAL, ("flink",), None)
    with pytest.raises(MoveError, match="not approved for flink"):
        begin(one, AT)
    one = approve(one, ("flink",), "Bob", "2026-11-22T10:00:00Z")
    assert (one.status, one.approved_by, one.approvals["spring"].by) == (Status.APPROVED, "Bob", "Ada")
    assert approve(one, one.targets, "Eve", "2026-11-23T10:00:00Z") == one
    one = deployed(begin(one, AT), "flink", AT, ("job",))
    assert one.status is Status.DEPLOYING
    assert deployed(one, "spring", AT).status is Status.DEPLOYED


def test_a_target_that_the_filter_does_not_have_is_refused() -> None:
    """With the targets that it has (FL-34)."""
    with pytest.raises(MoveError, match="no target 'spring'; its targets are flink"):
        approve(make(), ("spring",), "Ada", AT)


CHANGES: list[Callable[[Filter], Filter]] = [
    lambda one: edited(one, "B"),
    lambda one: one.model_copy(update={"output_topic": "filtered-two"}),
    lambda one: one.model_copy(update={"targets": ("flink", "spring")}),
    lambda one: one.model_copy(update={"condition_logic": Logic.OR}),
]


@pytest.mark.parametrize("change", CHANGES, ids=["conditions", "topic", "targets", "logic"])
@pytest.mark.parametrize("until", ["approved", "deployed"])
def test_an_edit_clears_approvals_and_raises_the_version(change: Callable[[Filter], Filter], until: str) -> None:
    """Of conditions, topic or targets; found without anybody watching the file (FL-36)."""
    one = approve(make(), ("flink",), "Ada", AT)
    one = deployed(begin(one, AT), "flink", AT, ("job",)) if until == "deployed" else one
    after = change(one)
    assert waiting(after, None) == after.targets
    settled = settle(after, None)
    assert (settled.status, settled.version) == (Status.PENDING_APPROVAL, 2)
    assert (settled.approvals, settled.approved_by, settled.approved_at) == ({}, None, None)
    again = approve(settled, settled.targets, "Ada", AT)
    assert settle(again, one) == again


@pytest.mark.parametrize("key", ["name", "description", "consumer_id"])
def test_what_is_no_edit_of_its_meaning_keeps_the_approval(key: str) -> None:
    """A better description wants no second look (FL-36)."""
    one = approve(make(), ("flink",), "Ada", AT)
    after = one.model_copy(update={key: "other"})
    assert settle(after, one) == after
    assert is_approved(after, "flink")


def test_a_version_that_the_editor_has_raised_is_raised_once() -> None:
    """The number says how many definitions there were, not who counted (FL-36)."""
    one = approve(make(), ("flink",), "Ada", AT)
    assert settle(edited(one, "B").model_copy(update={"version": 2}), None).version == 2


def test_a_filter_from_elsewhere_is_taken_at_its_status_until_it_is_edited() -> None:
    """The shipped filters are deployed and name no approval; what ran tells an edit (FL-18, FL-36)."""
    shipped = make("deployed")
    assert waiting(shipped, None) == ()
    assert waiting(shipped, shipped) == ()
    after = edited(shipped, "B")
    assert waiting(after, shipped) == ("flink",)
    assert (settle(after, shipped).status, settle(after, shipped).version) == (Status.PENDING_APPROVAL, 2)


def test_a_deprecated_filter_gets_no_second_life_by_an_edit() -> None:
    """It stays deprecated and its approval is void (FL-31, FL-36)."""
    one = deprecate(deployed(begin(approve(make(), ("flink",), "Ada", AT), AT), "flink", AT))
    after = settle(edited(one, "B"), one)
    assert (after.status, waiting(after, one)) == (Status.DEPRECATED, ("flink",))
    with pytest.raises(MoveError, match="is deprecated and cannot become approved"):
        approve(after, ("flink",), "Ada", AT)


def test_a_failure_is_written_down_and_the_next_try_needs_no_new_approval() -> None:
    """It goes from failed to approved to deploying (FL-31, FL-74)."""
    one = failed(begin(approve(make(), ("flink",), "Ada", AT), AT), "flink", AT, "no slots")
    assert (one.status, one.deployment_error, one.deployments["flink"].error) == (Status.FAILED, "no slots", "no slots")
    done = deployed(begin(one, AT), "flink", AT, ("job",))
    assert (done.status, done.deployment_error, done.deployments["flink"].error) == (Status.DEPLOYED, None, None)


def test_an_approval_that_was_only_a_status_outlives_a_failure() -> None:
    """A file from elsewhere says `approved` and no more; the next try needs no other approval (FL-74)."""
    one = failed(begin(make("approved"), AT), "flink", AT, "no slots")
    assert one.approvals["flink"].by == "the filter file"
    assert begin(one, AT).status is Status.DEPLOYING


def test_a_failure_does_not_touch_what_was_deployed_before() -> None:
    """Another filter's failure is not its own (FL-74)."""
    one = make("deployed")
    assert failed(begin(one, AT), "flink", AT, "no slots") == one


def test_a_disabled_filter_keeps_its_state() -> None:
    """Switched on again, it needs no new approval (FL-78)."""
    one = disable(make("deployed"))
    assert (one.enabled, one.status) == (False, Status.DEPLOYED)


ACTIONS: dict[str, Callable[[Filter], Filter]] = {
    "approve": lambda one: approve(one, one.targets, "Ada", AT),
    "approve flink": lambda one: approve(one, ("flink",), "Ada", AT),
    "approve spring": lambda one: approve(one, ("spring",), "Ada", AT),
    "begin": lambda one: begin(one, AT),
    "deployed flink": lambda one: deployed(one, "flink", AT, ("job",)),
    "deployed spring": lambda one: deployed(one, "spring", AT),
    "failed": lambda one: failed(one, "flink", AT, "why"),
    "disable": disable,
    "deprecate": deprecate,
    "edit A": lambda one: settle(edited(one, "A"), one),
    "edit B": lambda one: settle(edited(one, "B"), one),
}


def reachable(start: Status) -> set[Status]:
    """Return what a series of moves can lead to."""
    found, queue = {start}, deque([start])
    while queue:
        for each in MOVES[queue.popleft()] - found:
            found.add(each)
            queue.append(each)
    return found


VALID = Draft202012Validator(schemas.filter_file_schema())


@settings(deadline=None)
@given(
    start=st.sampled_from([None, *Status]),
    targets=st.sampled_from([["flink"], ["spring"], ["flink", "spring"]]),
    actions=st.lists(st.sampled_from(sorted(ACTIONS)), max_size=20),
)
def test_no_series_of_commands_reaches_an_illegal_state(
    start: Status | None, targets: list[str], actions: list[str]
) -> None:
    """Every state follows by allowed moves, approvals are for what is there, the file stays valid (FL-31, FL-36)."""
    one = make(start, targets=targets)
    elsewhere = not one.approvals and start is not None
    for name in actions:
        before = one
        try:
            one = ACTIONS[name](one)
        except MoveError:
            assert one == before
        elsewhere = elsewhere and not one.approvals and definition(one) == definition(before)
        assert one.status in reachable(before.status)
        assert one.version >= before.version
        assert definition(one) == definition(before) or name.startswith("edit")
        if one.status in {Status.APPROVED, Status.DEPLOYING, Status.DEPLOYED} and not elsewhere:
            assert unapproved(one) == (), name
        if one.status is Status.DEPLOYED and before.status is not Status.DEPLOYED:
            assert all(one.deployments[each].error is None for each in one.targets)
        document = to_file_form(FilterSet(version=1, filters=(one,)))
        VALID.validate(document)
        assert parse_filters(json.loads(json.dumps(document))).filters == (one,)
