"""The connector's document: what Kafka Connect is given, a pure function of the settings."""

import json
import re
from typing import Any

import pytest
from pydantic import SecretStr

from cdc.debezium.connector import document
from cdc.errors import CdcError, Kind
from cdc.settings import Settings

URL = "postgresql://cdc:s3cret@db.example:5433/car_entities?sslmode=verify-full&sslrootcert=/etc/ca.pem"


def made(**given: Any) -> dict[str, str]:
    """Return the document of these settings."""
    url = SecretStr(given.pop("url", URL))
    settings = Settings(database_url=url, kafka_bootstrap_servers="broker:9092", **given)
    return document(settings, snapshot="initial", autocreate="filtered")


def test_the_document_is_the_one_of_the_contract() -> None:
    """Class, tasks, prefix, table, slot, publication, snapshot and tombstones as documented (CD-60, CD-61, CD-62)."""
    found = made()
    assert found.items() >= {
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("tasks.max", "1"),
        ("topic.prefix", "postgres-cdc"),
        ("table.include.list", "public.event_headers"),
        ("plugin.name", "pgoutput"),
        ("slot.name", "business_events_cdc_slot"),
        ("publication.name", "event_headers_debezium_publication"),
        ("publication.autocreate.mode", "filtered"),
        ("snapshot.mode", "initial"),
        ("tombstones.on.delete", "true"),
        ("include.schema.changes", "false"),
        ("key.converter.schemas.enable", "false"),
        ("value.converter.schemas.enable", "false"),
    }
    assert all(isinstance(value, str) for value in found.values())


def test_the_database_is_reached_as_the_url_says() -> None:
    """Host, port, name and TLS come from `DATABASE_URL`."""
    found = made()
    assert {name: found[f"database.{name}"] for name in ("hostname", "port", "dbname", "sslmode", "sslrootcert")} == {
        "hostname": "db.example",
        "port": "5433",
        "dbname": "car_entities",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
    }


def test_no_credential_is_in_the_document() -> None:
    """User and password are references that the worker resolves from its own environment (CD-65)."""
    found = made()
    assert "s3cret" not in json.dumps(found)
    assert found["database.user"] == "${env:DEBEZIUM_DATABASE_USER}"
    assert found["database.password"] == "${env:DEBEZIUM_DATABASE_PASSWORD}"


def test_null_stays_null_in_both_places_that_would_replace_it() -> None:
    """The unwrap transform and the JSON converter each put a column's default for NULL unless told not to (CD-50)."""
    found = made()
    assert found["transforms.unwrap.replace.null.with.default"] == "false"
    assert found["value.converter.replace.null.with.default"] == "false"


def test_unwrap_comes_before_route_and_keeps_tombstones() -> None:
    """Deletions are rewritten and followed by their tombstone; the fields are added with two underscores (CD-63)."""
    found = made()
    assert found["transforms"] == "unwrap,route"
    assert found["transforms.unwrap.delete.tombstone.handling.mode"] == "rewrite-with-tombstone"
    assert found["transforms.unwrap.add.fields"] == "op,table,ts_ms"
    assert found["transforms.unwrap.add.fields.prefix"] == "__"


@pytest.mark.parametrize(
    ("given", "name", "topic"),
    [
        ({}, "postgres-cdc.public.event_headers", "raw-event-headers"),
        ({}, "postgres-cdcXpublic.event_headers", None),
        ({}, "postgres-cdc.public.event_headers_old", None),
        ({}, "__debezium-heartbeat.postgres-cdc", None),
        ({"cdc_tables": "public.a, sales.b"}, "postgres-cdc.sales.b", "raw-event-headers"),
        (
            {"cdc_tables": "public.a, sales.b", "cdc_topic": "raw-{schema}-{table}"},
            "postgres-cdc.sales.b",
            "raw-sales-b",
        ),
        ({"cdc_topic_prefix": "a.b+c"}, "a.b+c.public.event_headers", "raw-event-headers"),
        # One name begins as the other does.
        ({"cdc_tables": "public.a, public.a_b"}, "postgres-cdc.public.a_b", "raw-event-headers"),
        ({"cdc_tables": "p.a, p.a_b", "cdc_topic": "raw-{table}"}, "postgres-cdc.p.a_b", "raw-a_b"),
        # What a topic's name cannot hold, Debezium replaces, by the unit of UTF-16.
        ({"cdc_tables": '"O d"."ä, 😀"'}, "postgres-cdc.O_d._____", "raw-event-headers"),
    ],
)
def test_only_the_topics_of_the_tables_are_routed(given: dict[str, Any], name: str, topic: str | None) -> None:
    """Dots are escaped, so no other topic of the connector lands in the raw topic (CD-63)."""
    found = made(**given)
    regex = re.compile(found["transforms.route.regex"])
    # As Connect's RegexRouter: the whole name must match, but what is replaced is the first match in it.
    replacement = re.sub(r"\$(\d)", r"\\\1", found["transforms.route.replacement"])
    replaced = regex.sub(replacement, name, count=1) if regex.fullmatch(name) else None
    assert replaced == topic


def test_a_comma_in_a_name_does_not_part_it() -> None:
    """The list of tables is of patterns between commas; a pattern writes its own as a number."""
    assert made(cdc_tables='public."a, b", public.c')["table.include.list"] == r"public.a\x2c b,public.c"


def test_a_record_that_cannot_be_converted_stops_the_connector() -> None:
    """Nothing is tolerated, so nothing is dropped in silence (CD-66)."""
    found = made()
    assert found["errors.tolerance"] == "none"
    assert found["event.processing.failure.handling.mode"] == "fail"


@pytest.mark.parametrize("part", ["acks", "enable.idempotence"])
def test_the_producer_waits_for_every_replica_and_repeats_nothing_by_itself(part: str) -> None:
    """What Connect stores as its offset is in Kafka."""
    assert made()[f"producer.override.{part}"] == {"acks": "all", "enable.idempotence": "true"}[part]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"cdc_messages": "outbox=outbox-events"}, "CDC_MESSAGES"),
        ({"cdc_format": "debezium"}, "CDC_FORMAT"),
        ({"cdc_truncate": "emit"}, "CDC_TRUNCATE"),
        ({"url": "postgresql:///car_entities?host=/run/postgresql"}, "DATABASE_URL"),
        ({"url": "postgresql://a,b/car_entities"}, "DATABASE_URL"),
        ({"url": "postgresql://cdc:s3cret@h/d?nonsense=1"}, "DATABASE_URL"),
    ],
)
def test_what_only_our_own_engine_does_is_refused(given: dict[str, Any], named: str) -> None:
    """A setting that Debezium would pass over in silence is an error that names it, and no secret."""
    with pytest.raises(CdcError, match=named) as caught:
        made(**given)
    assert caught.value.kind is Kind.SETTINGS
    assert "s3cret" not in str(caught.value)
