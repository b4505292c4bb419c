"""Owns the form of what is written: filtered records and dead letters, byte for byte as Flink's sinks write them.

Must never know a client of Kafka. Facts: FL-41, FL-42 and FL-46 of the contract; the writer of Jackson, which Flink's
JSON format uses: no blanks, UTF-8, an escape for what needs one and for what lies beyond U+FFFF, as a surrogate pair.
"""

import re
from dataclasses import dataclass
from typing import Final

from flink_jobs.columns import TEXT_COLUMNS
from flink_jobs.evaluator import Record
from flink_jobs.values import well_formed

_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_ESCAPES: Final = {chr(code): f"\\u{code:04X}" for code in range(0x20)} | _SHORT
_TO_ESCAPE: Final = re.compile('["\\\\\x00-\x1f\ud800-\udfff\U00010000-\U0010ffff]')


@dataclass(frozen=True, slots=True)
class RawRecord:
    """Hold one record of the raw topic, and when it was read, by the clock that the caller measures with."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    read_at: float


@dataclass(frozen=True, slots=True)
class Output:
    """Hold one record to write."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def filtered(topic: str, record: Record) -> Output:
    """Return a record of a filtered topic: the id as key, the eight text columns as JSON."""
    fields = ",".join(f'"{name}":{_json(record[name])}' for name in TEXT_COLUMNS)
    return Output(topic, well_formed(str(record["id"])).encode(), f"{{{fields}}}".encode())


def dead_letter(topic: str, raw_topic: str, raw: RawRecord, reason: str) -> Output:
    """Return a record that could not be read: the same bytes, with the reason and where it stands."""
    assert raw.value is not None
    headers = (
        ("dlq-reason", reason.encode(errors="replace")),
        ("dlq-topic", raw_topic.encode()),
        ("dlq-partition", str(raw.partition).encode()),
        ("dlq-offset", str(raw.offset).encode()),
    )
    return Output(topic, raw.key, raw.value, headers)


def _json(value: str | int | None) -> str:
    if value is None:
        return "null"
    return '"' + _TO_ESCAPE.sub(_escaped, str(value)) + '"'


def _escaped(found: re.Match[str]) -> str:
    if escape := _ESCAPES.get(found.group()):
        return escape
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2))
