"""What Flink says: batch jobs on a cluster inside PyFlink's own JVM give every predicate's value on every record.

Run as a program, because a JVM is started: standard input is `{"values": [...], "predicates": [...]}`, the argument the
file for the answer, `{id: verdicts}`. The values of records go through the record parser, byte for byte; a verdict is
`t`, `f` or `n`, for true, false and null.
"""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from flink_jobs.job import _JVM_OPTIONS, _functions_jar
from flink_jobs.sql import FUNCTIONS

CHUNK = 25
"""Predicates in one query: what Flink needs to plan one grows with the square of its length."""


def settings(jar: Path) -> dict[str, str]:
    """Return what the job has in common with the one that routes, as far as it can change a meaning."""
    return {
        "pipeline.jars": jar.as_uri(),
        "parallelism.default": "1",
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "UTC",
    }


def query(predicates: list[str]) -> str:
    """Return a query: the id, and the values of the predicates as text, because PyFlink reads no null in an array."""
    return (
        f"SELECT `id`, CAST(ARRAY[{', '.join(predicates)}] AS STRING)\n"
        "FROM `values` AS r\nCROSS JOIN LATERAL TABLE(parse_header(r.`value`))"
        " AS h (`id`, `event_name`, `event_type`, `created_date`, `saved_date`, `header_data`, `__op`, `__table`,"
        " `__ts_ms`, `fault`)"
    )


def verdicts(records: list[str], predicates: list[str], scratch: Path) -> dict[str, str]:
    """Run the job and return the values, one letter a predicate, by the record's id."""
    os.environ |= {"JVM_ARGS": _JVM_OPTIONS, "FLINK_LOG_DIR": str(scratch), "_python_worker_execution_mode": "process"}
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - importing it is what needs Java
    from pyflink.table import EnvironmentSettings, TableEnvironment  # noqa: PLC0415

    (scratch / "in").mkdir()
    (scratch / "in" / "values").write_bytes(b"".join(value.encode() + b"\n" for value in records))
    jar = scratch / "functions.jar"
    gateway = get_gateway()
    jar.write_bytes(_functions_jar(gateway))
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    for key, value in settings(jar).items():
        tables.get_config().set(key, value)
    for name, implementation in FUNCTIONS.items():
        tables.execute_sql(f"CREATE TEMPORARY SYSTEM FUNCTION {name} AS '{implementation}' LANGUAGE JAVA")
    tables.execute_sql(
        "CREATE TABLE `values` (`value` BYTES)"
        f" WITH ('connector' = 'filesystem', 'format' = 'raw', 'path' = '{(scratch / 'in').as_uri()}')"
    )
    letters = {"TRUE": "t", "FALSE": "f", "NULL": "n"}
    found: dict[str, str] = {}
    for start in range(0, len(predicates), CHUNK):
        with tables.execute_sql(query(predicates[start : start + CHUNK])).collect() as rows:
            for name, told in (list(row) for row in rows):
                found[name] = found.get(name, "") + "".join(letters[each] for each in told.strip("[]").split(", "))
    gateway.shutdown()
    return found


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    with TemporaryDirectory(prefix="headwater-agree-") as folder:
        Path(sys.argv[1]).write_text(json.dumps(verdicts(asked["values"], asked["predicates"], Path(folder))))
