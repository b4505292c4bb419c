"""Owns which dialects of Flink SQL there are: the open-source one (`local`, in `flink_jobs.sql`) and two clouds'.

One filter means the same in each: the predicates are those of `flink_jobs.predicates`, and only what stands around them
differs. Must never run anything. What differs, and where that is written: `docs/dialects.md`.
"""

from enum import StrEnum

from flink_jobs.dialects.confluent import PROPERTIES, Call, DialectError, Inserts, ValueFormat, calls
from flink_jobs.dialects.files import printed, write_folder
from flink_jobs.dialects.msk import msk_places


class Dialect(StrEnum):
    """Name the service that is to run the filters."""

    LOCAL = "local"
    """Open-source Flink on a broker without passwords."""
    CONFLUENT = "confluent"
    """Confluent Cloud for Apache Flink."""
    MSK = "msk"
    """Amazon Managed Service for Apache Flink on Amazon MSK with IAM."""


__all__ = [
    "PROPERTIES",
    "Call",
    "Dialect",
    "DialectError",
    "Inserts",
    "ValueFormat",
    "calls",
    "msk_places",
    "printed",
    "write_folder",
]
