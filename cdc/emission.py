"""Owns what a capture is told of how to write: the format, what becomes of truncations, where messages go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final

from cdc.formats.flat import FLAT
from cdc.formats.protocol import Format
from cdc.outbox import Outbox
from cdc.records import TopicName

USER, TOKEN, CA = "basic.auth.user.info", "bearer.auth.token", "ssl.ca.location"
CERTIFICATE, PRIVATE_KEY = "ssl.certificate.location", "ssl.key.location"
REGISTRY_SETTINGS: Final = frozenset({USER, TOKEN, CA, CERTIFICATE, PRIVATE_KEY})
"""What can be set of a schema registry, by the names that Confluent's clients use."""


@unique
class FormatName(Enum):
    """How records are written."""

    JSON = "json"
    """Flat JSON."""
    DEBEZIUM = "debezium"
    """Debezium's envelope, as JSON."""
    AVRO = "avro"
    """The flat fields in Avro, through a schema registry."""


@unique
class Truncation(Enum):
    """What becomes of a TRUNCATE."""

    SKIP = "skip"
    """A warning in the log."""
    EMIT = "emit"
    """A record in every partition of the table's topic."""


@dataclass(frozen=True, slots=True)
class Emission:
    """How the records of a session are written."""

    form: Format = FLAT
    truncated: Mapping[TopicName, int] | None = None
    """The number of partitions of each topic; None where truncations give no records."""
    outbox: Outbox = field(default_factory=Outbox)


PLAIN: Final = Emission()
"""Flat rows and nothing else."""
