"""What the unit tests of the Flink stage share: a short way to write a filter."""

from collections.abc import Callable
from typing import Any

import pytest

from flink_jobs import FilterSet, parse_filters

Json = dict[str, Any]
MakeDocument = Callable[..., Json]
MakeFilters = Callable[..., FilterSet]


@pytest.fixture
def document() -> MakeDocument:
    """A filter file with one filter of these conditions; keyword arguments change the filter."""

    def make(*conditions: Json, **changes: object) -> Json:
        one = {
            "id": "one",
            "name": "One",
            "consumerId": "one-consumer",
            "outputTopic": "filtered-one",
            "conditions": list(conditions) or [{"field": "event_type", "operator": "equals", "value": "A"}],
            "enabled": True,
        }
        return {"version": 1, "filters": [one | changes]}

    return make


@pytest.fixture
def filters(document: MakeDocument) -> MakeFilters:
    """The same, read."""
    return lambda *conditions, **changes: parse_filters(document(*conditions, **changes))
