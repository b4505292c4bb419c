"""Owns a deployment to Confluent Cloud: schema, source, sinks, inserts, one call each, and replacing what has changed.

What is there with the same text is left alone. A statement's text cannot be changed, and its name is taken as long as
it is there; so a changed insert gets the next version of the name, waits for the old one to be stopped, starts at its
offsets (FL-73), and the old one is deleted once it runs. An earlier run that was cut off is gone on with. Any failure
leaves what ran running (FL-74). Facts: FL-44, FL-50 to FL-53, FL-72 of the contract; Confluent's "Carry-over offsets".
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import schemas
from flink_jobs.confluent.http import ConfluentError
from flink_jobs.confluent.registry import Registry
from flink_jobs.confluent.statements import Statement, Statements
from flink_jobs.dialects import PROPERTIES, Call

RAW_SUBJECT: Final = "raw-event-headers-value"
_INSERT: Final = "insert-"
_LIVE: Final = frozenset({"RUNNING", "PENDING", "DEGRADED"})


@dataclass(frozen=True, slots=True)
class Deployed:
    """Hold what came of a deployment, by the names of statements.

    Attributes:
        schema_registered: Whether the schema of the raw topic was not there before.
        created: Statements that were not there.
        replaced: Statements that took over from an older version.
        unchanged: Statements that were left alone.
        removed: Inserts of ours that no filter asks for any more.
        inserts: The statement that feeds each topic, by the name without version.
    """

    schema_registered: bool
    created: tuple[str, ...]
    replaced: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    inserts: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return asdict(self)


class Deployer:
    """Bring statements into one environment.

    Args:
        statements: The environment.
        registry: Its schema registry.
        record: A file with the names of inserts that are ours; only those are ever removed.
        timeout: Seconds for each statement.
    """

    def __init__(self, statements: Statements, registry: Registry, record: Path, timeout: float) -> None:
        self._statements = statements
        self._registry = registry
        self._record = record
        self._timeout = timeout
        self._created: list[str] = []
        self._replaced: list[str] = []
        self._unchanged: list[str] = []

    def run(self, calls: Sequence[Call], raw_topic: str, *, registers: bool = True) -> Deployed:
        """Deploy these statements, in their order.

        Args:
            calls: Source, sinks, inserts.
            raw_topic: What they read.
            registers: Whether the raw topic's values are JSON, whose schema is registered here.

        Raises:
            ConfluentError: Something is refused or fails; earlier statements run on.
        """
        registered = registers and self._registry.ensure(f"{raw_topic}-value", schemas.registry_schema(RAW_SUBJECT))
        existing = self._statements.every()
        inserts = {}
        for call in calls:
            if call.name.startswith(_INSERT):
                inserts[call.name] = self._insert(call, existing)
                self._remember(inserts)
            else:
                self._definition(call, existing.get(call.name))
        removed = self._remove(existing, inserts)
        return Deployed(
            registered, tuple(self._created), tuple(self._replaced), tuple(self._unchanged), removed, inserts
        )

    def _definition(self, call: Call, present: Statement | None) -> None:
        """Run a statement that ends by itself, unless it has."""
        if present is not None and _same(present, call) and present.phase in {*_LIVE, "COMPLETED"}:
            self._statements.wait(call.name, "COMPLETED", self._timeout)
            self._unchanged.append(call.name)
            return
        if present is not None:
            self._statements.delete(call.name, self._timeout)
        self._statements.create(call.name, call.text, PROPERTIES)
        self._statements.wait(call.name, "COMPLETED", self._timeout)
        self._created.append(call.name)

    def _insert(self, call: Call, existing: dict[str, Statement]) -> str:
        """Return the name of the statement that runs this insert from now on."""
        family = _family(call.name, existing)
        while len(family) > 1 and self._is_left_over(family[0], call):
            self._statements.delete(family.pop(0).name, self._timeout)
        if not family:
            self._statements.create(call.name, call.text, PROPERTIES)
            self._statements.wait(call.name, "RUNNING", self._timeout)
            self._created.append(call.name)
            return call.name
        newest, *older = family
        if _same(newest, call) and newest.phase in _LIVE:
            self._take_over(newest.name, older)
            (self._replaced if older else self._unchanged).append(newest.name)
            return newest.name
        name = f"{call.name}-v{_version(call.name, newest.name) + 1}"
        self._statements.create(name, call.text, PROPERTIES, follows=newest.name)
        self._take_over(name, family)
        self._replaced.append(name)
        return name

    def _is_left_over(self, newest: Statement, call: Call) -> bool:
        """Tell whether this is a replacement that never ran: a run before this one was cut off, or failed."""
        waits = newest.phase == "PENDING" and newest.follows is not None and not _same(newest, call)
        return waits or newest.phase in {"FAILED", "FAILING", "STOPPED"}

    def _take_over(self, name: str, older: Sequence[Statement]) -> None:
        """Stop the older ones, wait until the new one runs, and delete them; on failure what ran runs again."""
        stopped = [each.name for each in older if each.phase in _LIVE]
        try:
            for each in stopped:
                self._statements.set_stopped(each, stopped=True)
            self._statements.wait(name, "RUNNING", self._timeout)
        except ConfluentError:
            if older:
                self._statements.delete(name, self._timeout)
            for each in stopped[:1]:
                self._statements.set_stopped(each, stopped=False)
            raise
        for old in older:
            self._statements.delete(old.name, self._timeout)

    def _remove(self, existing: dict[str, Statement], inserts: dict[str, str]) -> tuple[str, ...]:
        """Delete the inserts of ours that are wanted no more."""
        gone = [base for base in self._remembered() if base not in inserts]
        names = [each.name for base in gone for each in _family(base, existing)]
        for name in names:
            self._statements.delete(name, self._timeout)
        self._record.write_text(json.dumps(sorted(inserts)), "utf-8")
        return tuple(names)

    def _remembered(self) -> list[str]:
        try:
            return [str(each) for each in json.loads(self._record.read_text("utf-8"))]
        except FileNotFoundError:
            return []

    def _remember(self, inserts: dict[str, str]) -> None:
        self._record.parent.mkdir(parents=True, exist_ok=True)
        self._record.write_text(json.dumps(sorted({*self._remembered(), *inserts})), "utf-8")


def _same(present: Statement, call: Call) -> bool:
    return present.text.strip() == call.text.strip()


def _version(base: str, name: str) -> int:
    return int(name.removeprefix(f"{base}-v")) if name != base else 1


def _family(base: str, existing: dict[str, Statement]) -> list[Statement]:
    """Return the versions of an insert, newest first."""
    versions = [each for name, each in existing.items() if re.fullmatch(rf"{re.escape(base)}(-v[0-9]+)?", name)]
    return sorted(versions, key=lambda each: _version(base, each.name), reverse=True)
