"""Owns which dialects of Flink SQL there are: the open-source one (`local`, in `flink_jobs.sql`) and two clouds'.

One filter means the same in each: the predicates are those of `flink_jobs.predicates`, and only what stands around them
differs. Must never run anything. What differs, and where that is written: `docs/dialects.md`.
"""

from flink_jobs.dialects.confluent import PROPERTIES, Call, DialectError, Inserts, ValueFormat, calls
from flink_jobs.dialects.files import printed, write_folder
from flink_jobs.dialects.msk import msk_places
from flink_jobs.dialects.scripts import Dialect, Script, faults, make, processor_set, processor_text

__all__ = [
    "PROPERTIES",
    "Call",
    "Dialect",
    "DialectError",
    "Inserts",
    "Script",
    "ValueFormat",
    "calls",
    "faults",
    "make",
    "msk_places",
    "printed",
    "processor_set",
    "processor_text",
    "write_folder",
]
