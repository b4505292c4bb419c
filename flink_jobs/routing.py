"""Owns the choice of topics in SQL: one array expression over the columns of a record, null where no topic is meant.

Must never know tables, connectors or how the array is written to Kafka. Facts: FL-16, FL-33, FL-48.
"""

import json
from collections.abc import Iterator, Sequence

from flink_jobs.filters import Filter, Status
from flink_jobs.predicates import filter_predicate, text_literal


def topics_expression(active: Sequence[Filter], suffix: str) -> str:
    """Return an array of text whose elements, nulls apart, are the topics of a record, each once.

    Args:
        active: The filters of the job, at least one.
        suffix: Appended to the output topic of each.
    """
    return "ARRAY[\n" + ",\n".join(_arms(active, suffix)) + "\n]"


def comment(text: str) -> str:
    """Return a text that cannot leave a one-line comment."""
    return json.dumps(text, ensure_ascii=False)


def _arms(active: Sequence[Filter], suffix: str) -> Iterator[str]:
    """Yield one CASE for each topic; filters that share a topic have equal conditions (FL-16) and share the arm."""
    by_topic: dict[str, list[Filter]] = {}
    for each in active:
        by_topic.setdefault(each.output_topic, []).append(each)
    for topic, filters in by_topic.items():
        names = "".join(f"  -- {_naming(each)}\n" for each in filters)
        yield f"{names}  CASE WHEN {filter_predicate(filters[0])} THEN {text_literal(topic + suffix)} END"


def _naming(one: Filter) -> str:
    warning = "WARNING, deprecated: " if one.status is Status.DEPRECATED else ""
    return f"{warning}{one.id}, {comment(one.name)}"
