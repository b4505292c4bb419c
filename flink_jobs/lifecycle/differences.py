"""Owns the comparison of a filter file with what runs: for each filter, and in the SQL that comes of it (FL-71).

Must never ask a service or write a file.
"""

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from flink_jobs.filters import Filter, FilterSet
from flink_jobs.lifecycle.states import is_edited
from flink_jobs.sql import Places, statements

_LIFE: Final = frozenset(
    {
        "status",
        "version",
        "createdAt",
        "updatedAt",
        "approvedBy",
        "approvedAt",
        "deployedAt",
        "deploymentError",
        "flinkStatementIds",
        "approvals",
        "deployments",
    }
)
"""Keys that tell of a filter's life; they change by deploying it and are no difference."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """Hold one field of a filter as it runs and as the file has it; None where it is absent."""

    field: str
    runs: Any
    file: Any


@dataclass(frozen=True, slots=True)
class FilterChange:
    """Hold what is different about one filter.

    Attributes:
        id: The filter.
        kind: `added`, `removed` (it runs and is not in the file), or `changed`.
        fields: For a changed one, each field that differs.
        needs_approval: Whether the edit has made its approval void (FL-36).
    """

    id: str
    kind: str
    fields: tuple[FieldChange, ...] = ()
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """Hold what deploying the file would change.

    Attributes:
        changes: Each filter that differs.
        sql: A unified diff of the SQL, line by line; empty where the job stays the same.
    """

    changes: tuple[FilterChange, ...]
    sql: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changes or self.sql)

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {"different": bool(self), "changes": [asdict(each) for each in self.changes], "sql": "\n".join(self.sql)}


def difference(runs: FilterSet, file: FilterSet, places: Places) -> Difference:
    """Compare what runs with a file.

    Args:
        runs: The filters that the running job was compiled from.
        file: The filters of the file.
        places: Broker and topics, for the SQL.
    """
    before = {each.id: each for each in runs.filters}
    after = {each.id: each for each in file.filters}
    found = []
    for one in file.filters:
        old = before.get(one.id)
        if old is None:
            found.append(FilterChange(one.id, "added"))
        elif fields := tuple(_fields(old, one)):
            found.append(FilterChange(one.id, "changed", fields, is_edited(one, old)))
    found += [FilterChange(each.id, "removed") for each in runs.filters if each.id not in after]
    return Difference(tuple(found), tuple(_sql(runs, file, places)))


def _fields(old: Filter, new: Filter) -> Sequence[FieldChange]:
    left, right = _compared(old), _compared(new)
    names = dict.fromkeys((*left, *right))
    return [FieldChange(name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)]


def _compared(one: Filter) -> dict[str, Any]:
    body = one.model_dump(mode="json", by_alias=True, exclude_none=True)
    # Where a status takes a filter out of the job, or marks it, the SQL shows that.
    return {name: value for name, value in body.items() if name not in _LIFE}


def _sql(runs: FilterSet, file: FilterSet, places: Places) -> list[str]:
    left, right = (
        "\n\n".join(part.script for part in statements(each, places.shown)).splitlines() for each in (runs, file)
    )
    return list(difflib.unified_diff(left, right, "runs", "file", lineterm=""))
