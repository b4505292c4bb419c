"""Owns the SQL for Confluent Cloud, where a table is a topic and one call takes one statement (FL-50, FL-51).

No connector and no broker is named: an environment is a catalog, a cluster a database, a topic a table. The topic is
not a writable column there, so each filtered topic has an INSERT, all of them in one statement set that reads the raw
topic once, or each a statement of its own. Everything is append-only and keeps no state. Must never send anything.

Facts, all of Confluent's documentation "Confluent Cloud for Apache Flink" (`docs/dialects.md` has the pages): CREATE
TABLE, WITH options; Flink SQL Examples, inferred tables; EXECUTE STATEMENT SET; SET, table options; REST API.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from flink_jobs.columns import CAPTURE_TIME, TEXT_COLUMNS
from flink_jobs.filters import Filter, FilterSet
from flink_jobs.predicates import filter_predicate, identifier
from flink_jobs.rendering import label, options
from flink_jobs.sql import Places

LONGEST: Final = 131_072
"""Characters that one statement may have."""

BUCKETS: Final = 6
"""Partitions of a topic that a statement creates (CD-20)."""

PROPERTIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # A capture time is compared as a timestamp without zone. It is the default, but a default can be changed.
        "sql.local-time-zone": "UTC",
        # Filters look at one record at a time: no partition need wait for the event time of another.
        "sql.tables.scan.watermark-alignment.max-allowed-drift": "0",
    }
)
"""What goes along with every statement, beside `sql.current-catalog` and `sql.current-database`."""

FUNCTIONS: Final = frozenset(
    {
        "BTRIM",
        "CAST",
        "CHARACTER_LENGTH",
        "COALESCE",
        "CONCAT",
        "IF",
        "JSON_EXISTS",
        "JSON_QUERY",
        "JSON_VALUE",
        "LOWER",
        "LTRIM",
        "NULLIF",
        "POSITION",
        "REGEXP",
        "REGEXP_EXTRACT",
        "REGEXP_REPLACE",
        "REPLACE",
        "RTRIM",
        "SUBSTRING",
        "TIMESTAMPADD",
        "TIMESTAMPDIFF",
        "TO_TIMESTAMP",
        "TO_TIMESTAMP_LTZ",
        "TRIM",
        "TRY_CAST",
        "UPPER",
    }
)
"""Functions that a predicate may call: those which the pages "JSON", "String", "Comparison", "Conditional" and
"Datetime Functions" describe. A predicate with another one needs a form of its own here."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?")


class DialectError(ValueError):
    """Say why the filters cannot be written for Confluent Cloud, and what to do about it."""


class ValueFormat(StrEnum):
    """Choose the form of a record's value; the schema is in the registry either way."""

    JSON = "json-registry"
    AVRO = "avro-registry"


class Inserts(StrEnum):
    """Choose how the inserts are run."""

    SET = "set"
    """All in one statement: the raw topic is read once, and a change of one filter replaces the statement."""
    SINGLE = "single"
    """A statement for each topic: each reads the raw topic, and is deployed, stopped and replaced alone."""


@dataclass(frozen=True, slots=True)
class Call:
    """Hold one statement as one call takes it: its name in the environment, and its text."""

    name: str
    text: str


def calls(
    filters: FilterSet,
    places: Places,
    value_format: ValueFormat = ValueFormat.JSON,
    inserts: Inserts = Inserts.SET,
) -> tuple[Call, ...]:
    """Return the statements in the order they are to be run: source, sinks, inserts (FL-44); equal input, equal text.

    Of the places, the broker and the consumer group have no meaning here.

    Raises:
        DialectError: A name or a text is more than the service takes.
    """
    by_topic: dict[str, list[Filter]] = {}
    for each in filters.filters:
        if each.runs_on_flink:
            by_topic.setdefault(each.output_topic + places.suffix, []).append(each)
    written = {topic: _insert(topic, group, places.raw_topic) for topic, group in by_topic.items()}
    made = (
        *_source(places, value_format),
        *(_sink(topic, value_format) for topic in by_topic),
        *(_together(written) if inserts is Inserts.SET else _alone(written)),
    )
    _check(made, inserts)
    return made


def _source(places: Places, value_format: ValueFormat) -> Iterator[Call]:
    behaviour = {
        # Every record is a fact, an update or delete as well: filters ask for the operation themselves.
        "changelog.mode": "append",
        "scan.startup.mode": "earliest-offset",
        # Our engine writes outside of transactions, so this costs no time; what another writer aborts is not routed.
        "kafka.consumer.isolation-level": "read-committed",
        # What cannot be read goes to a table that the service creates, and the statement goes on (FL-49). Its form is
        # the service's, so it is not the topic of our own dead letters.
        "error-handling.mode": "log",
        "error-handling.log.target": places.dead_letter_topic + places.suffix,
    }
    columns = {"key": "BYTES", **dict.fromkeys(TEXT_COLUMNS, "STRING"), CAPTURE_TIME: "BIGINT"}
    yield Call(f"source-{places.raw_topic}", _table(places.raw_topic, columns, value_format, behaviour))
    # The topic is there already when the engine has written to it; then its table is as well, with the columns of the
    # registered schema and the service's own defaults, and CREATE TABLE IF NOT EXISTS changes nothing.
    alter = f"ALTER TABLE {identifier(places.raw_topic)} SET {options(behaviour)};"
    yield Call(f"options-{places.raw_topic}", alter)


def _sink(topic: str, value_format: ValueFormat) -> Call:
    columns = {"key": "BYTES", **dict.fromkeys(TEXT_COLUMNS, "STRING")}
    return Call(f"sink-{topic}", _table(topic, columns, value_format, {"changelog.mode": "append"}))


def _table(name: str, columns: Mapping[str, str], value_format: ValueFormat, behaviour: Mapping[str, str]) -> str:
    body = ",\n".join(f"  {identifier(column)} {kind}" for column, kind in columns.items())
    # The record's key is the bytes of `key` and not a part of the value (FL-46).
    formats = {"key.format": "raw", "value.format": value_format.value, "value.fields-include": "except-key"}
    return (
        f"CREATE TABLE IF NOT EXISTS {identifier(name)} (\n{body}\n)\n"
        f"DISTRIBUTED BY ({identifier('key')}) INTO {BUCKETS} BUCKETS\nWITH {options({**formats, **behaviour})};"
    )


def _insert(topic: str, group: Sequence[Filter], raw_topic: str) -> str:
    """Return one INSERT; filters that share a topic have equal conditions (FL-16) and share it."""
    names = "".join(f"-- {label(each)}\n" for each in group)
    columns = ", ".join(identifier(name) for name in TEXT_COLUMNS)
    return (
        f"{names}INSERT INTO {identifier(topic)} ({identifier('key')}, {columns})\n"
        f"SELECT CAST({identifier('id')} AS BYTES), {columns}\nFROM {identifier(raw_topic)}\n"
        f"WHERE {filter_predicate(group[0])};"
    )


def _together(inserts: Mapping[str, str]) -> Iterator[Call]:
    if inserts:
        yield Call("insert-all-filters", "\n\n".join(("EXECUTE STATEMENT SET\nBEGIN", *inserts.values(), "END;")))


def _alone(inserts: Mapping[str, str]) -> Iterator[Call]:
    for topic, text in inserts.items():
        base = topic.removesuffix("-flink")
        yield Call(f"insert-{base}-filter-flink" if base != topic else f"insert-{topic}", text)


def _check(made: Sequence[Call], inserts: Inserts) -> None:
    for each in made:
        if not _NAME.fullmatch(each.name):
            raise DialectError(
                f"{each.name!r} is no name of a statement: lower case letters, digits and '-', at most 100 characters; "
                "shorten the topic, or change TOPIC_SUFFIX or CDC_TOPIC"
            )
        if len(each.text) > LONGEST:
            remedy = (
                "write the inserts as statements of their own"
                if inserts is Inserts.SET
                else "give the filter fewer or shorter conditions"
            )
            size = f"{len(each.text):,} characters"
            raise DialectError(f"{each.name} has {size}, and a statement at most {LONGEST:,}; {remedy}")
