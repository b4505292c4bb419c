"""What the conformance tests share: one run of both engines over every shape, recorded and compared."""

from collections.abc import Mapping
from typing import Any

import pytest

from cdc.emission import FormatName
from stack import connect, maven
from stack.local import LocalStack
from tests.integration.cdc.conformance import changes, happenings, keys, structures, types
from tests.integration.cdc.conformance.comparison import Comparison, Difference
from tests.integration.cdc.conformance.differences import LIST, Entry, read_list
from tests.integration.cdc.conformance.engines import Lane
from tests.integration.cdc.conformance.run import Recording, Run

SHAPES = (*keys.SHAPES, *structures.SHAPES, *happenings.SHAPES, *changes.SHAPES, *types.SHAPES)


@pytest.fixture(scope="session")
def recording(server: Any, database_of: Any, kafka_bootstrap: str, local_stack: LocalStack) -> Recording:
    """Everything that both engines wrote; Connect runs no longer than that."""
    cache = local_stack.settings.cache_dir
    maven.fetch(maven.missing((connect.BUNDLE,), cache), cache, maven.silent)
    lanes = (
        Lane("main", [each for each in SHAPES if not (each.leaves or each.stops)]),
        Lane("leaves", [each for each in SHAPES if each.leaves], by_root=False),
        Lane("envelopes", [each for each in SHAPES if each.enveloped], form=FormatName.DEBEZIUM),
        Lane("alone", [each for each in SHAPES if each.stops], stops=True),
    )
    local_stack.start(connect.SERVICE)
    try:
        with database_of(server) as database:
            return Run(database, lanes, types.MAKING).record(kafka_bootstrap, local_stack.settings.connect_url)
    finally:
        local_stack.supervisor.stop(connect.SERVICE)


@pytest.fixture(scope="session")
def comparisons(recording: Recording) -> Mapping[str, Comparison]:
    """What both engines wrote, in pairs, by lane."""
    return {
        lane.name: Comparison(
            recording.theirs[lane.name],
            recording.ours[lane.name],
            recording.types,
            enveloped=lane.form is FormatName.DEBEZIUM,
        )
        for lane in recording.lanes
        if not lane.stops
    }


@pytest.fixture(scope="session")
def entries() -> tuple[Entry, ...]:
    """The list of differences."""
    return read_list(LIST.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def differences(
    recording: Recording,
    comparisons: Mapping[str, Comparison],
    entries: tuple[Entry, ...],
) -> list[Difference]:
    """Everything in which the engines differ, the tables at which Debezium stops among it."""
    found = [each for comparison in comparisons.values() for each in comparison.differences]
    for table, cause in recording.stopped.items():
        ours = [each.value and each.value["__op"] for each in recording.ours["alone"]]
        found.append(Difference(table, "", "task", "", "", cause, ours))
    return found


@pytest.fixture(scope="session")
def figures(recording: Recording, entries: tuple[Entry, ...], differences: list[Difference]) -> str:
    """Say how much was compared."""
    tables = sum(len(each.tables) for each in SHAPES)
    theirs, ours = (sum(map(len, side.values())) for side in (recording.theirs, recording.ours))
    return (
        f"conformance: {len(SHAPES)} shapes ({tables} tables), {theirs} records of Debezium and {ours} of our own, "
        f"{len(differences)} differences under {len(entries)} entries, {recording.seconds:.0f} s"
    )
