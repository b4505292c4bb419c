"""Owns the connector's document: from our settings to what Kafka Connect is given, a pure function. Calls nobody.

No credential is ever in it (CD-65): user and password are references that the worker resolves from its environment.
Source of facts: Debezium 3.7, PostgreSQL connector and "New Record State Extraction"; Kafka Connect, JsonConverter.
"""

import re
from collections.abc import Iterable
from typing import Final

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from cdc.emission import FormatName, Truncation
from cdc.errors import CdcError, Kind
from cdc.settings import Settings, SnapshotMode

USER_VARIABLE: Final = "DEBEZIUM_DATABASE_USER"
PASSWORD_VARIABLE: Final = "DEBEZIUM_DATABASE_PASSWORD"  # noqa: S105  # the name of a variable, not a password

HEARTBEAT_PREFIX: Final = "headwater.heartbeat"
_HEARTBEAT_MS: Final = 10_000
_SPECIAL: Final = re.compile(r"([.\\+*?\[\]^$(){}|])")
_NOT_IN_TOPICS: Final = re.compile(r"[^A-Za-z0-9._-]")
_LAST_OF_ONE_UNIT: Final = 0xFFFF
_JSON: Final = "org.apache.kafka.connect.json.JsonConverter"
_TLS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey")

SNAPSHOT_MODES: Final = {
    SnapshotMode.INITIAL: "initial",
    SnapshotMode.NEVER: "no_data",
    SnapshotMode.WHEN_NEEDED: "when_needed",
    SnapshotMode.ONLY: "initial_only",
}

Document = dict[str, str]


def document(settings: Settings, *, snapshot: str, autocreate: str) -> Document:
    """Return the connector's configuration (CD-60 to CD-64).

    Args:
        settings: Database, slot, publication, tables and topic, the same that our own engine reads.
        snapshot: Debezium's `snapshot.mode`.
        autocreate: Debezium's `publication.autocreate.mode`: `disabled` for a publication that exists, which
            `filtered` would rewrite, column lists and row filters included.

    Raises:
        CdcError: The settings ask for what only our own engine does.
    """
    _refuse_native_only(settings)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "topic.prefix": settings.cdc_topic_prefix,
        "table.include.list": ",".join(
            f"{_literal(each.schema)}.{_literal(each.name)}" for each in settings.cdc_tables
        ),
        **_database(settings.database_url.get_secret_value()),
        "plugin.name": "pgoutput",
        "slot.name": settings.slot_name,
        "slot.drop.on.stop": "false",
        "publication.name": settings.publication_name,
        "publication.autocreate.mode": autocreate,
        "snapshot.mode": snapshot,
        "tombstones.on.delete": "true",
        "include.schema.changes": "false",
        **_VALUES,
        **_DELIVERY,
        **_transforms(settings),
    }


# The forms of `docs/cdc.md`. NULL stays NULL: both places that would put a column's default in its stead are off.
_VALUES: Final[Document] = {
    "time.precision.mode": "isostring",
    "decimal.handling.mode": "string",
    "binary.handling.mode": "base64",
    "interval.handling.mode": "string",
    "key.converter": _JSON,
    "key.converter.schemas.enable": "false",
    "value.converter": _JSON,
    "value.converter.schemas.enable": "false",
    "value.converter.replace.null.with.default": "false",
}

_DELIVERY: Final[Document] = {
    # What cannot be converted stops the connector; nothing is left out in silence (CD-66).
    "errors.tolerance": "none",
    "event.processing.failure.handling.mode": "fail",
    # Four headers on each record with names of Debezium's own; the record is to be the same from either engine.
    "extended.headers.enabled": "false",
    "poll.interval.ms": "5",
    # Only what Connect has stored as its offset is confirmed to the server, never what the driver believes idle.
    "lsn.flush.mode": "connector",
    # A slot that stands beyond the stored offset was moved or created anew by somebody else: refuse, leave no gap.
    "offset.mismatch.strategy": "trust_offset",
    # The message gives an idle table's slot something to be confirmed (CD-11).
    "heartbeat.interval.ms": str(_HEARTBEAT_MS),
    "heartbeat.action.query": f"SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '')",
    "message.prefix.exclude.list": HEARTBEAT_PREFIX.replace(".", r"\."),
    "producer.override.acks": "all",
    "producer.override.enable.idempotence": "true",
    "producer.override.linger.ms": "0",
    "producer.override.batch.size": "262144",
    # Java's own choice of a key's partition, murmur2, which is also ours: an event keeps its partition in a switch.
    "producer.override.partitioner.ignore.keys": "false",
}


def _database(url: str) -> Document:
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError:
        # The original's text quotes the string, and with it the password.
        raise CdcError(Kind.SETTINGS, "DATABASE_URL is not a PostgreSQL connection string") from None
    host, port = str(given.get("host") or ""), str(given.get("port") or "5432")
    if not host or host.startswith("/"):
        raise CdcError(Kind.SETTINGS, "Debezium reaches PostgreSQL by TCP only: DATABASE_URL needs a host")
    if "," in host:
        raise CdcError(Kind.SETTINGS, "Debezium takes one host: DATABASE_URL names several")
    return {
        "database.hostname": host,
        "database.port": port,
        "database.dbname": str(given.get("dbname") or given.get("user") or "postgres"),
        "database.user": f"${{env:{USER_VARIABLE}}}",
        "database.password": f"${{env:{PASSWORD_VARIABLE}}}",
        **{f"database.{name}": str(given[name]) for name in _TLS if given.get(name)},
    }


def _transforms(settings: Settings) -> Document:
    regex, replacement = _route(settings)
    return {
        "transforms": "unwrap,route",
        "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
        "transforms.unwrap.add.fields": "op,table,ts_ms",
        "transforms.unwrap.add.fields.prefix": "__",
        "transforms.unwrap.delete.tombstone.handling.mode": "rewrite-with-tombstone",
        "transforms.unwrap.replace.null.with.default": "false",
        "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.route.regex": regex,
        "transforms.route.replacement": replacement,
    }


def _route(settings: Settings) -> tuple[str, str]:
    """Return the pattern of Debezium's topic names, and the topic in its place."""
    prefix, topic = _literal(settings.cdc_topic_prefix), settings.cdc_topic
    if "{" not in topic:
        names = [rf"{_in_topic(each.schema)}\.{_in_topic(each.name)}" for each in settings.cdc_tables]
        return _whole(rf"{prefix}\.{_one_of(names)}"), topic.replace("$", r"\$")
    schemas = _one_of((_in_topic(each.schema) for each in settings.cdc_tables), group="(")
    tables = _one_of((_in_topic(each.name) for each in settings.cdc_tables), group="(")
    return _whole(rf"{prefix}\.{schemas}\.{tables}"), topic.replace("{schema}", "$1").replace("{table}", "$2")


def _whole(pattern: str) -> str:
    """Anchor a pattern: the router replaces the first match in a name, which may end where another name goes on."""
    return f"^{pattern}$"


def _in_topic(name: str) -> str:
    """Return the pattern of a name as Debezium puts it into a topic's: what Kafka does not allow there is replaced."""
    units = "".join(char if ord(char) <= _LAST_OF_ONE_UNIT else char * 2 for char in name)
    return _literal(_NOT_IN_TOPICS.sub("_", units))


def _one_of(patterns: Iterable[str], group: str = "(?:") -> str:
    distinct = list(dict.fromkeys(patterns))
    return distinct[0] if len(distinct) == 1 and group == "(?:" else f"{group}{'|'.join(distinct)})"


def _literal(text: str) -> str:
    # A comma would end the pattern where patterns stand in a list.
    return _SPECIAL.sub(r"\\\1", text).replace(",", r"\x2c")


def _refuse_native_only(settings: Settings) -> None:
    asked = [
        name
        for name, given in (
            ("CDC_FORMAT", settings.cdc_format is not FormatName.JSON),
            ("CDC_MESSAGES", bool(settings.cdc_messages)),
            ("CDC_TRUNCATE=emit", settings.cdc_truncate is Truncation.EMIT),
        )
        if given
    ]
    if asked:
        raise CdcError(Kind.SETTINGS, f"Debezium does not do this, our own engine does: {', '.join(asked)}")
