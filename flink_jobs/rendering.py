"""Owns how pieces of a statement are written, whatever the dialect: option lists, comments, the name of a filter.

Must never know a filter's meaning, a connector or an option by name.
"""

import json
from collections.abc import Mapping

from flink_jobs.filters import Filter, Status
from flink_jobs.predicates import text_literal


def comment(text: str) -> str:
    """Return a text that cannot leave a one-line comment."""
    return json.dumps(text, ensure_ascii=False)


def label(one: Filter) -> str:
    """Return what a comment calls a filter; a deprecated one is warned of (FL-33)."""
    warning = "WARNING, deprecated: " if one.status is Status.DEPRECATED else ""
    return f"{warning}{one.id}, {comment(one.name)}"


def options(pairs: Mapping[str, str]) -> str:
    """Return options in their parentheses, one a line."""
    lines = ",\n".join(f"  {text_literal(key)} = {text_literal(value)}" for key, value in pairs.items())
    return f"(\n{lines}\n)"
