"""The filters as one Flink job: from `filters.json` to SQL, to a plan, to a job that stays in the cluster.

The names below are what others may use; `python -m flink_jobs` is the command.
"""

from flink_jobs.filters import Filter, FilterError, FilterSet, load_filters, parse_filters
from flink_jobs.settings import FlinkSettings
from flink_jobs.sql import Places, script, statements

__all__ = [
    "Filter",
    "FilterError",
    "FilterSet",
    "FlinkSettings",
    "Places",
    "load_filters",
    "parse_filters",
    "script",
    "statements",
]
