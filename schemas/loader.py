"""Read the data files of this package.

Owns where each file lies and the shape it is handed out in. It imports nothing of ours, only the standard library,
and judges nothing: the validity of a filter is the filter stage's business, that of an event the validator's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

_ROOT: Final = files("schemas")
_VERSIONS: Final = _ROOT / "json"

# The event types and the file name that their sample and template share (EV-102).
EVENT_TYPES: Final[Mapping[str, str]] = {
    "CarCreated": "car-created",
    "LoanCreated": "loan-created",
    "LoanPaymentSubmitted": "loan-payment-submitted",
    "CarServiceDone": "car-service-done",
}

# The entity types and the name of their JSON Schema (EV-104).
ENTITY_SCHEMAS: Final[Mapping[str, str]] = {
    "Car": "car",
    "Loan": "loan",
    "LoanPayment": "loan-payment",
    "ServiceRecord": "service-record",
    "ServiceDetails": "service-details",
    "PartUsed": "part-used",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """Declare one Kafka topic (CD-20 to CD-28).

    `config` holds for every cluster; `config_cloud` only where there are three brokers, because two in-sync replicas
    of a single broker would refuse every write.
    """

    name: str
    partitions: int
    replication_local: int
    replication_cloud: int
    config: dict[str, str] = field(default_factory=dict)
    config_cloud: dict[str, str] = field(default_factory=dict)


def postgres_sql() -> str:
    """Return the idempotent DDL of the three tables and the publication, as one script with its own transaction."""
    return _ROOT.joinpath("postgresql", "tables.sql").read_text("utf-8")


def topics(*, dealers: bool = False) -> tuple[Topic, ...]:
    """Return the declared topics: raw, filtered, dead letters; with `dealers` also the three per-dealer topics."""
    declared = _read("kafka", "topics.json")
    rows = declared["topics"] + (declared["dealerTopics"] if dealers else [])
    return tuple(_topic({**declared["defaults"], **row}) for row in rows)


def filtered_topic(name: str) -> Topic:
    """Return the declaration of a filtered topic: its own one, or the same settings under another name (CD-22)."""
    own = next((topic for topic in topics(dealers=True) if topic.name == name), None)
    declared = _read("kafka", "topics.json")
    return own or _topic({**declared["defaults"], **declared["filtered"], "name": name})


def filters_path() -> Path:
    """Return the path of the shipped `filters.json`: four filters, one for each event type (FL-17, FL-18)."""
    return Path(str(_ROOT.joinpath("filters", "filters.json")))


def dealer_filters_path() -> Path:
    """Return the path of the three per-dealer filters (FL-20); they match only with `HEADER_ENTITY_FIELDS` set."""
    return Path(str(_ROOT.joinpath("filters", "filters-dealers.json")))


def filter_file_schema() -> Json:
    """Return the JSON Schema of a filter file: its structure only (FL-1 to FL-6)."""
    return _read("filters", "filters.schema.json")


def json_schema(version: str, kind: str, name: str, *, exact: bool = False) -> Json:
    """Return one JSON Schema (draft 2020-12), such as `json_schema("v1", "entity", "car")`.

    Args:
        version: A folder such as `v1`.
        kind: `event` or `entity`.
        name: The file without its suffix.
        exact: Read numbers with a fraction as `Decimal`. Money steps of 0.01 can only be checked in decimal (EV-115),
            so a validator takes the exact schema and parses its instance with `parse_float=Decimal`.

    Raises:
        LookupError: No such schema; the message lists those there are.
    """
    path = _VERSIONS.joinpath(version, kind, f"{name}.json")
    if not path.is_file():
        known = ", ".join(sorted(schema["$id"].rsplit("/schemas/")[-1] for schema in _every_schema()))
        message = f"no JSON Schema {version}/{kind}/{name}.json; there are: {known}"
        raise LookupError(message)
    return _parse(path.read_text("utf-8"), exact=exact)


def json_schemas(version: str, *, exact: bool = False) -> dict[str, Json]:
    """Return every JSON Schema of a version by its `$id`, which is how the schemas refer to each other."""
    return {
        schema["$id"]: schema for schema in _every_schema(exact=exact) if f"/schemas/{version}/" in str(schema["$id"])
    }


def registry_schema(subject: str) -> Json:
    """Return the JSON Schema (draft-07) that a schema registry holds under a subject (FL-52).

    It is closed, so that a further nullable column is a change that BACKWARD allows (FL-53): of an open one, the
    registry must assume that old records already hold anything under the new name.

    Raises:
        LookupError: No schema is declared for this subject.
    """
    if not _ROOT.joinpath("registry", f"{subject}.json").is_file():
        message = f"no schema is declared for the subject {subject!r}"
        raise LookupError(message)
    return _read("registry", f"{subject}.json")


def avro_schema(name: str) -> Json:
    """Return one Avro schema: `filtered-event-header` is that of every filtered topic (FL-41).

    Raises:
        LookupError: No such schema.
    """
    if not _ROOT.joinpath("avro", f"{name}.json").is_file():
        message = f"no Avro schema {name!r} is declared"
        raise LookupError(message)
    return _read("avro", f"{name}.json")


def samples(*, exact: bool = False) -> dict[str, Json]:
    """Return the sample events by name (EV-120, EV-121, EV-126), oldest first, so that a car precedes its loan.

    With `exact`, numbers with a fraction are `Decimal`, as `json_schema(..., exact=True)` needs them.
    """
    events = {
        file.name.removesuffix(".json"): _parse(file.read_text("utf-8"), exact=exact)
        for file in _ROOT.joinpath("samples").iterdir()
    }
    return dict(sorted(events.items(), key=lambda item: (item[1]["eventHeader"]["createdDate"], item[0])))


def template(event_type: str) -> Json:
    """Return the template of an event type: `defaults`, and `event` with `{{placeholder}}` texts (EV-125).

    Raises:
        LookupError: No template for this type; the message lists those there are.
    """
    if event_type not in EVENT_TYPES:
        message = f"no template for event type {event_type!r}; there are: {', '.join(EVENT_TYPES)}"
        raise LookupError(message)
    return _read("templates", f"{EVENT_TYPES[event_type]}.json")


def _topic(row: Json) -> Topic:
    return Topic(
        name=row["name"],
        partitions=row["partitions"],
        replication_local=row["replicationLocal"],
        replication_cloud=row["replicationCloud"],
        config=row["config"],
        config_cloud=row["configCloud"],
    )


def _every_schema(*, exact: bool = False) -> list[Json]:
    return [
        _parse(file.read_text("utf-8"), exact=exact)
        for version in _VERSIONS.iterdir()
        for kind in version.iterdir()
        for file in kind.iterdir()
    ]


def _read(*path: str, exact: bool = False) -> Json:
    return _parse(_ROOT.joinpath(*path).read_text("utf-8"), exact=exact)


def _parse(text: str, *, exact: bool) -> Json:
    parsed: Json = json.loads(text, parse_float=Decimal if exact else None)
    return parsed
