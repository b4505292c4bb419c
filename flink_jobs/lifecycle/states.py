"""Owns the states of a filter and the moves between them; every change of a state goes through `move`.

An approval names the digest of what was approved, so an edit by hand makes it void without anybody watching. A filter
that has no approvals written down, as in a file from elsewhere, is taken at its status. Must never read a file or ask a
service. Facts: FL-30, FL-31, FL-34 to FL-36 and FL-78 of the contract.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from flink_jobs.filters import Approval, Deployed, Filter, Status, Target

MOVES: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.PENDING_APPROVAL: frozenset({Status.APPROVED}),
        Status.APPROVED: frozenset({Status.DEPLOYING, Status.PENDING_APPROVAL}),
        Status.DEPLOYING: frozenset({Status.DEPLOYED, Status.FAILED}),
        Status.DEPLOYED: frozenset({Status.DEPRECATED, Status.PENDING_APPROVAL}),
        Status.ACTIVE: frozenset({Status.DEPRECATED, Status.PENDING_APPROVAL}),
        Status.FAILED: frozenset({Status.APPROVED}),
        Status.DEPRECATED: frozenset({Status.DELETED}),
        Status.PENDING_DELETION: frozenset({Status.DELETED}),
        Status.DISABLED: frozenset({Status.PENDING_APPROVAL}),
        Status.DELETED: frozenset(),
    }
)
"""What may follow what. No move leads to `active`, `disabled` or `pending_deletion`: other programs write those."""

_TAKEN_FOR_APPROVED: Final = frozenset(
    {Status.APPROVED, Status.DEPLOYING, Status.DEPLOYED, Status.ACTIVE, Status.DEPRECATED}
)
"""What a file from elsewhere says of a filter that somebody has approved."""


class MoveError(ValueError):
    """Say that a filter cannot go from one state to another, and where it can go."""


def move(one: Filter, to: Status) -> Filter:
    """Return the filter in another state.

    Raises:
        MoveError: No move leads there.
    """
    allowed = MOVES[one.status]
    if to not in allowed:
        names = " or ".join(sorted(allowed)) or "nothing"
        raise MoveError(f"filter {one.id!r} is {one.status} and cannot become {to}; from there it can become {names}")
    return _with(one, status=to)


def definition(one: Filter) -> str:
    """Return the digest of what an approval is about: conditions, topic and targets (FL-36)."""
    meaning = {
        "conditions": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in one.conditions],
        "conditionLogic": one.condition_logic.value,
        "outputTopic": one.output_topic,
        "targets": sorted(one.targets),
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


def is_approved(one: Filter, target: Target) -> bool:
    """Tell whether somebody has approved the filter as it is now for a target."""
    if not one.approvals:
        return one.status in _TAKEN_FOR_APPROVED
    approval = one.approvals.get(target)
    return approval is not None and approval.definition == definition(one)


def unapproved(one: Filter) -> tuple[Target, ...]:
    """Return the targets of the filter that want an approval."""
    return tuple(target for target in one.targets if not is_approved(one, target))


def waiting(one: Filter, known: Filter | None) -> tuple[Target, ...]:
    """Return the targets that want an approval before a deployment; all, where an edit has made it void."""
    return one.targets if is_edited(one, known) else unapproved(one)


def is_edited(one: Filter, known: Filter | None) -> bool:
    """Tell whether the filter is another than was approved, or, where that is not written down, than was deployed."""
    if one.approvals:
        return any(each.definition != definition(one) for each in one.approvals.values())
    return one.status in _TAKEN_FOR_APPROVED and known is not None and definition(known) != definition(one)


def settle(one: Filter, known: Filter | None) -> Filter:
    """Return the filter with an edit taken into account: no approval any more, and a higher version (FL-36).

    Args:
        one: As the file has it.
        known: As it was deployed, None when it was not.
    """
    if not is_edited(one, known) or one.status is Status.DEPRECATED:
        # What is on its way out gets no second life by an edit: its approval is void, and it stays as it is.
        return one
    before = max((each.version for each in one.approvals.values()), default=known.version if known else one.version)
    cleared = _with(one, approvals={}, approved_by=None, approved_at=None, version=max(one.version, before + 1))
    if one.status is Status.DEPLOYING:
        # Edited while it was being deployed, or after a deployment that was cut off.
        return move(cleared, Status.FAILED)
    if Status.PENDING_APPROVAL in MOVES[one.status]:
        return move(cleared, Status.PENDING_APPROVAL)
    return cleared


def approve(one: Filter, targets: Iterable[Target], by: str, at: str, *, forced: bool = False) -> Filter:
    """Return the filter approved for targets; a second time changes nothing.

    Raises:
        MoveError: It has no such target, or its state allows no approval.
    """
    for target in targets:
        if target not in one.targets:
            raise MoveError(f"filter {one.id!r} has no target {target!r}; its targets are {', '.join(one.targets)}")
        if is_approved(one, target):
            continue
        if Status.APPROVED not in MOVES[one.status]:
            move(one, Status.APPROVED)
        given = Approval(by=by, at=at, version=one.version, definition=definition(one), forced=forced)
        one = _with(one, approvals={**one.approvals, target: given})
    if one.approvals and not unapproved(one) and Status.APPROVED in MOVES[one.status]:
        last = max(one.approvals.values(), key=lambda each: each.at)
        one = _with(move(one, Status.APPROVED), approved_by=last.by, approved_at=last.at, deployment_error=None)
    return one


def begin(one: Filter, at: str) -> Filter:
    """Return the filter as it is while it is being deployed; one that is deployed already stays so.

    An approval that was only a status is written down, so that a failure does not lose it.

    Raises:
        MoveError: Not every target is approved, or the state allows no deployment.
    """
    if waiting := unapproved(one):
        raise MoveError(f"filter {one.id!r} is not approved for {' and '.join(waiting)}")
    if one.status is Status.FAILED:
        one = move(one, Status.APPROVED)
    if one.status in {Status.DEPLOYING, Status.DEPLOYED, Status.ACTIVE, Status.DEPRECATED}:
        return one
    if not one.approvals:
        given = Approval(
            by=one.approved_by or "the filter file",
            at=one.approved_at or at,
            version=one.version,
            definition=definition(one),
        )
        one = _with(one, approvals=dict.fromkeys(one.targets, given))
    return move(one, Status.DEPLOYING)


def deployed(one: Filter, target: Target, at: str, statement_ids: tuple[str, ...] = ()) -> Filter:
    """Return the filter deployed on a target; as a whole it is once every target is (FL-34)."""
    before = one.deployments.get(target)
    same = before is not None and before.error is None and before.version == one.version
    done = Deployed(at=before.at if same and before else at, version=one.version, statement_ids=statement_ids)
    one = _with(one, deployments={**one.deployments, target: done}, deployment_error=None)
    if target == "flink":
        one = _with(one, flink_statement_ids=statement_ids)
    runs = (one.deployments.get(each) for each in one.targets)
    if one.status is Status.DEPLOYING and all(each and not each.error and each.version == one.version for each in runs):
        one = _with(move(one, Status.DEPLOYED), deployed_at=at)
    return one


def failed(one: Filter, target: Target, at: str, error: str) -> Filter:
    """Return the filter with the failure of its deployment; one that was deployed before keeps its state."""
    if one.status is not Status.DEPLOYING:
        return one
    result = Deployed(at=at, version=one.version, error=error)
    marked = _with(one, deployments={**one.deployments, target: result}, deployment_error=error)
    return move(marked, Status.FAILED)


def disable(one: Filter) -> Filter:
    """Return the filter switched off; its state stays, so that switching it on again needs no new approval."""
    return _with(one, enabled=False)


def deprecate(one: Filter) -> Filter:
    """Return the filter softly deleted: switched off and deprecated (FL-78).

    Raises:
        MoveError: Its state does not allow that.
    """
    return disable(one if one.status is Status.DEPRECATED else move(one, Status.DEPRECATED))


def _with(one: Filter, **changes: Any) -> Filter:
    return one.model_copy(update=changes)
