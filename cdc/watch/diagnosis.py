"""Owns the form of what an examination finds: a fault or a doubt, its remedy and the SQL for it."""

from dataclasses import asdict, dataclass
from enum import Enum, unique
from typing import Any

from cdc.errors import CdcError, Kind
from cdc.policy import Stop, decide

_REACH = {
    Kind.DATABASE_UNREACHABLE: "Start PostgreSQL, or correct host and port of DATABASE_URL.",
    Kind.BROKER_UNREACHABLE: "Start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS.",
    Kind.REGISTRY_UNREACHABLE: "Start the schema registry, or correct CDC_SCHEMA_REGISTRY_URL.",
}


@unique
class Severity(Enum):
    """An error stops the engine or loses something soon; a warning may become one; an info is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """The place in a list of findings: 0 comes first."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One fault or doubt; `sql` is None where no statement cures it."""

    severity: Severity
    kind: Kind
    found: str
    remedy: str
    sql: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {**asdict(self), "severity": self.severity.value, "kind": self.kind.value}


def failed(error: CdcError, before: str = "") -> Diagnosis:
    """Return the diagnosis of what could not be reached or asked."""
    return Diagnosis(Severity.ERROR, error.kind, f"{before}{error}", remedy_of(error.kind))


def remedy_of(kind: Kind) -> str:
    """Return what cures a fault of this kind."""
    decision = decide(kind)
    return decision.remedy if isinstance(decision, Stop) else _REACH.get(kind, "It may pass by itself.")
