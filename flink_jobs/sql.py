"""Owns the SQL of the job in Flink's own dialect (`local`): source, sinks and inserts, in that order (FL-44).

The raw topic is read and parsed once; one Kafka writer takes every filtered topic, its name being a column of the row,
so that a further filter costs no writer. What cannot be parsed goes to the dead-letter topic with its bytes. Must never
run anything. Facts: FL-40 to FL-49, FL-55; options of the Kafka SQL connector 5.0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from flink_jobs.avro import Registry
from flink_jobs.columns import COLUMNS, TEXT_COLUMNS
from flink_jobs.delivery import Delivery
from flink_jobs.dispatch import HEADER_VALUE, TOPIC_OF, topics_expression
from flink_jobs.filters import Filter, FilterSet
from flink_jobs.predicates import identifier, text_literal
from flink_jobs.rendering import comment, options

_PARSER: Final = "parse_header"
_EACH: Final = "each_topic"
FUNCTIONS: Final = {
    _PARSER: "headwater.HeaderParser",
    HEADER_VALUE: "headwater.HeaderValue",
    TOPIC_OF: "headwater.TopicOf",
    _EACH: "headwater.EachTopic",
}
"""Our functions in Java, by the name that SQL knows them by."""
AVRO_FUNCTIONS: Final = {**FUNCTIONS, _PARSER: "headwater.AvroHeaderParser"}
"""The same where values are Avro."""
_BYTES: Final = "raw-event-headers-bytes"
_HEADERS: Final = "raw-event-headers"
_FILTERED: Final = "filtered-events"
_DEAD: Final = "dead-letters"


class Kind(Enum):
    """Tell how a statement is run."""

    DEFINITION = auto()
    """A CREATE that runs at once."""
    VIEW = auto()
    """A query under a name; every insert shares one execution of it."""
    INSERT = auto()
    """A member of the one statement set."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold one statement; `text` has no semicolon, and for a view it is the query alone."""

    kind: Kind
    name: str
    text: str

    @property
    def script(self) -> str:
        """Return the statement as it stands in a script."""
        head = f"CREATE TEMPORARY VIEW {identifier(self.name)} AS\n" if self.kind is Kind.VIEW else ""
        return f"{head}{self.text};"


@dataclass(frozen=True, slots=True)
class Places:
    """Name the broker, the topics and the group that the job works with.

    Attributes:
        bootstrap_servers: Where the broker is.
        raw_topic: What is read.
        dead_letter_topic: Where records go that cannot be parsed.
        group: The consumer group whose offsets are committed at each checkpoint.
        suffix: Appended to the output topic of every filter, the mark of this processor (CD-24).
        security: The options by which a client of the broker proves who it is, without their prefix `properties.`.
        delivery: How it writes.
        registry: Where schemas are when values are Avro; None when they are JSON.
    """

    bootstrap_servers: str
    raw_topic: str = "raw-event-headers"
    dead_letter_topic: str = "dlq-raw-event-headers"
    group: str = "headwater-filters"
    suffix: str = "-flink"
    security: tuple[tuple[str, str], ...] = (("security.protocol", "PLAINTEXT"),)
    delivery: Delivery = field(default_factory=Delivery)
    registry: Registry | None = None

    @property
    def shown(self) -> "Places":
        """Return the same for a person's eyes: without a secret."""
        return self if self.registry is None else replace(self, registry=self.registry.masked)


def filtered_topics(filters: FilterSet, suffix: str) -> tuple[str, ...]:
    """Return the topics that the job writes, each once, in the order of their filters."""
    return tuple(dict.fromkeys(each.output_topic + suffix for each in filters.filters if each.runs_on_flink))


def statements(filters: FilterSet, places: Places) -> tuple[Statement, ...]:
    """Return the job as statements; equal input gives equal text.

    Filters that are disabled or gone have no part in it (FL-32).
    """
    active = [each for each in filters.filters if each.runs_on_flink]
    topics = filtered_topics(filters, places.suffix)
    functions = FUNCTIONS if places.registry is None else AVRO_FUNCTIONS
    routed = [_filtered_sink(topics, places)] if topics else []
    routing = [_routing(active, places.suffix)] if topics else []
    return (
        _source(places),
        *(_function(name, java_class) for name, java_class in functions.items()),
        _headers(),
        *routed,
        _dead_letter_sink(places),
        *routing,
        _dead_letters(places),
    )


def script(parts: Sequence[Statement], source: str, now: datetime | None = None) -> str:
    """Return the statements as one file; only its two header lines tell two runs apart (FL-55).

    Args:
        parts: The statements.
        source: What they were made from, for the header.
        now: The time for the header.
    """
    made = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    inserts = [part.script for part in parts if part.kind is Kind.INSERT]
    others = [part.script for part in parts if part.kind is not Kind.INSERT]
    together = "\n\n".join(("EXECUTE STATEMENT SET", "BEGIN", *inserts, "END;"))
    head = f"-- Generated {made} from {comment(source)}.\n-- Do not edit: change the filters and generate again."
    return "\n\n".join((head, *others, together)) + "\n"


def _table(name: str, columns: Sequence[str], given: dict[str, str]) -> Statement:
    body = ",\n".join(f"  {column}" for column in columns)
    return Statement(Kind.DEFINITION, name, f"CREATE TABLE {identifier(name)} (\n{body}\n) WITH {options(given)}")


def _function(name: str, java_class: str) -> Statement:
    text = f"CREATE TEMPORARY SYSTEM FUNCTION {name} AS {text_literal(java_class)} LANGUAGE JAVA"
    return Statement(Kind.DEFINITION, name, text)


def _kafka(places: Places, **topics: str) -> dict[str, str]:
    return {
        "connector": "kafka",
        **{name.replace("_", "-"): value for name, value in topics.items()},
        "properties.bootstrap.servers": places.bootstrap_servers,
        **{f"properties.{name}": value for name, value in places.security},
    }


def _formats(value: str) -> dict[str, str]:
    return {
        "key.format": "raw",
        "key.fields": "key",
        "value.format": value,
        "value.fields-include": "EXCEPT_KEY",
    }


def _source(places: Places) -> Statement:
    columns = ("`key` BYTES", "`value` BYTES", "`partition` INT METADATA VIRTUAL", "`offset` BIGINT METADATA VIRTUAL")
    options = {
        **_kafka(places, topic=places.raw_topic),
        "properties.group.id": places.group,
        # Used when there is no checkpoint: what the group has committed, and for a new group the beginning.
        "scan.startup.mode": "group-offsets",
        "properties.auto.offset.reset": "earliest",
        "properties.allow.auto.create.topics": "false",
        **_formats("raw"),
    }
    return _table(_BYTES, columns, options)


def _headers() -> Statement:
    origin = ", ".join(f"r.{identifier(name)}" for name in ("key", "value", "partition", "offset"))
    parsed = ", ".join(f"h.{identifier(name)}" for name in (*COLUMNS, "fault"))
    query = (
        f"SELECT\n  {origin},\n  {parsed}\nFROM {identifier(_BYTES)} AS r\n"
        f"CROSS JOIN LATERAL TABLE({_PARSER}(r.`value`)) AS h\n"
        # A null value is a tombstone: it says that a header is gone, and routes nowhere (CD-48, CD-120).
        "WHERE r.`value` IS NOT NULL"
    )
    return Statement(Kind.VIEW, _HEADERS, query)


def _writing(places: Places, writer: str) -> dict[str, str]:
    return {
        **places.delivery.options(writer),
        # Sent at once; under load, batches fill while earlier ones are on their way.
        "properties.linger.ms": "0",
        # A record of the broker's full size still fits with what this job adds to it.
        "properties.max.request.size": "4194304",
    }


def _filtered_sink(topics: Sequence[str], places: Places) -> Statement:
    columns = ("`key` BYTES", *(f"{identifier(name)} STRING" for name in TEXT_COLUMNS), "`topic` STRING METADATA")
    # A pattern and not a list, because a list of one topic takes the column `topic` away.
    pattern = "|".join(topic.replace(".", "[.]") for topic in topics)
    options = {**_kafka(places, topic_pattern=pattern), **_value(places), **_writing(places, _FILTERED)}
    return _table(_FILTERED, columns, options)


def _value(places: Places) -> dict[str, str]:
    if places.registry is None:
        return _formats("json")
    return {**_formats("avro-confluent"), **places.registry.sink_options()}


def _dead_letter_sink(places: Places) -> Statement:
    columns = ("`key` BYTES", "`value` BYTES", "`headers` MAP<STRING, BYTES> METADATA")
    options = {**_kafka(places, topic=places.dead_letter_topic), **_formats("raw"), **_writing(places, _DEAD)}
    return _table(_DEAD, columns, options)


def _routing(active: Sequence[Filter], suffix: str) -> Statement:
    columns = ", ".join(identifier(name) for name in TEXT_COLUMNS)
    return Statement(
        Kind.INSERT,
        _FILTERED,
        f"INSERT INTO {identifier(_FILTERED)}\nSELECT CAST(`id` AS BYTES), {columns}, t.`topic`\n"
        f"FROM {identifier(_HEADERS)}\n"
        f"CROSS JOIN LATERAL TABLE({_EACH}({topics_expression(active, suffix)})) AS t (`topic`)\n"
        "WHERE `fault` IS NULL",
    )


def _dead_letters(places: Places) -> Statement:
    text = "CAST(CAST({} AS STRING) AS BYTES)"
    headers = {
        "dlq-reason": "CAST(`fault` AS BYTES)",
        "dlq-topic": f"CAST({text_literal(places.raw_topic)} AS BYTES)",
        "dlq-partition": text.format("`partition`"),
        "dlq-offset": text.format("`offset`"),
    }
    pairs = ", ".join(f"{text_literal(name)}, {value}" for name, value in headers.items())
    query = f"SELECT `key`, `value`, MAP[{pairs}]\nFROM {identifier(_HEADERS)}\nWHERE `fault` IS NOT NULL"
    return Statement(Kind.INSERT, _DEAD, f"INSERT INTO {identifier(_DEAD)}\n{query}")
