"""Several shards say one thing: ready only together, as far behind as the last of them, each figure with its shard."""

from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc.lsn import Lsn
from cdc.shards.names import Generation
from cdc.shards.watch import Together, merge, summarize
from cdc.watch.health import Deadlines, Health
from cdc.watch.metrics import Monitor
from cdc.watch.observer import Phase, Progress

PARTS = Generation(3, 2).parts


@dataclass(frozen=True)
class Said:
    """What a shard says."""

    summary: dict[str, Any]
    exposition: bytes


def said(confirmed: int, end: int, *, streaming: bool = True) -> Said:
    """Return what a monitor says of a shard that has confirmed so far."""
    monitor = Monitor(Health(Deadlines()), now=lambda: 10.0)
    monitor.entered(Phase.STREAMING if streaming else Phase.RETRYING)
    monitor.moved(Progress(Lsn(confirmed), Lsn(end), 4, 5, 0, 2, full=False))
    monitor.buried("too_large")
    return Said(monitor.summary(), monitor.exposition())


def test_all_are_as_far_as_the_last() -> None:
    """The oldest confirmation, the largest lag, the sum of what is in flight; and each shard's own beside."""
    found = summarize("streaming", {PARTS[0]: said(16, 32), PARTS[1]: said(24, 64)})
    assert (found["phase"], found["ready"], found["live"]) == ("streaming", True, True)
    assert (found["confirmed_lsn"], found["lag_bytes"], found["in_flight"]) == ("0/10", 40, 4)
    assert found["retained_wal_bytes"] is None
    assert found["shards"].keys() == {"3.0of2", "3.1of2"}


@pytest.mark.parametrize("other", [None, said(24, 64, streaming=False)])
def test_one_that_is_not_ready_is_the_reason(other: Said | None) -> None:
    """Silent or retrying: the engine as a whole is not ready, and says which shard it is."""
    found = summarize("streaming", {PARTS[0]: said(16, 32), PARTS[1]: other})
    assert not found["ready"]
    assert found["live"] is (other is not None)
    assert found["reason"].startswith("shard 3.1of2: ")


def test_between_two_generations_nothing_is_wrong() -> None:
    """Not ready, and no reason to kill it: there may be no shard for a moment, or shards that end."""
    together = Together()
    together.phase = "handover"
    assert together.summary()["live"]
    assert not together.summary()["ready"]
    together.ask = lambda: {part: said(8, 8) for part in PARTS}
    assert (together.summary()["phase"], together.summary()["ready"]) == ("handover", False)


def test_every_figure_has_its_shard() -> None:
    """Each family stands once, and every sample keeps its value and its own labels."""
    text = merge({PARTS[0]: said(16, 32), PARTS[1]: said(24, 64)}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert text.count("# TYPE headwater_cdc_confirmed_lsn gauge") == 1
    confirmed = {each.labels["shard"]: each.value for each in families["headwater_cdc_confirmed_lsn"].samples}
    assert confirmed == {"0": 16, "1": 24}
    letters = [each.labels for each in families["headwater_cdc_dead_letters"].samples if each.value == 1]
    assert {"reason": "too_large", "shard": "1"} in letters
    alone = text_string_to_metric_families(said(16, 32).exposition.decode())
    assert {family.name for family in alone} == families.keys()
