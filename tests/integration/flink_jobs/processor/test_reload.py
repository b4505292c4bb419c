"""New filters for a processor at work: from its file and from the metadata service, without a restart or a loss."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import schemas
from tests.integration.flink_jobs.processor.stand_in import serving

Record = Callable[..., bytes]
Wait = Callable[..., Any]
Json = dict[str, Any]

CARS = "filtered-car-created-events"
LATE = "filtered-late-cars"


def one(topic: str, **changes: object) -> Json:
    """Return a filter on cars in the form of the service, which says more of it than the definition knows."""
    condition = {"field": "event_type", "operator": "equals", "value": "CarCreated"}
    return {
        "id": topic,
        "schemaId": "event",
        "schemaVersion": "v1",
        "name": topic,
        "description": None,
        "consumerGroup": "cars",
        "outputTopic": topic,
        "conditions": {"logic": "AND", "conditions": [condition]},
        "enabled": True,
        "targets": ["spring"],
        "approvedForSpring": True,
        **changes,
    }


def test_a_changed_file_takes_effect_under_a_stream_and_nothing_is_lost(
    ground: Any, wait_for: Wait, record: Record
) -> None:
    """The topic of one more filter is created; others miss and repeat nothing, nor does a broken file harm (FL-61)."""
    ground.stage.create_topics()
    file = Path(ground.stage.settings["FILTERS_FILE"])
    document = json.loads(file.read_text())
    with ground.streaming(record, 1000) as written:
        instance = ground.start()
        wait_for(lambda: instance.figure("headwater_processor_received_total") > 500, "it works")
        file.write_text("{")
        wait_for(lambda: instance.events("filters_kept"), "the broken file is told of")
        cars = document["filters"][0]
        late = {**cars, "id": "late-cars", "outputTopic": LATE, "description": "new"}
        file.write_text(json.dumps({**document, "filters": [*document["filters"], late]}))
        wait_for(lambda: instance.events("filters_switched"), "the new filters are at work")
        seen = len(written)
        wait_for(lambda: len(ground.committed(ground.output(LATE))) > 500, "the new topic fills")
        assert instance.events("filters_kept")[0]["filters"] == 4
    wait_for(lambda: len(ground.committed(ground.output(CARS))) >= len(written), "everything has come out")
    assert Counter(ground.ids(CARS)) == Counter(written)
    wait_for(
        lambda: ground.ids(LATE)[-1:] and set(written[seen:]) <= set(ground.ids(LATE)), "the new topic has the rest"
    )
    assert max(Counter(ground.ids(LATE)).values()) == 1
    assert instance.process.poll() is None


def test_the_service_decides_and_its_last_good_answer_outlives_it(ground: Any, wait_for: Wait, record: Record) -> None:
    """What it has enabled is applied; nonsense, an error status and its end change nothing (FL-61, FL-108)."""
    ground.stage.create_topics()
    with serving() as service:
        service.filters = [one("from-service"), one("switched-off", enabled=False)]
        instance = ground.start(METADATA_SERVICE_URL=service.url, FILTERS_RELOAD_SECONDS="0.1")
        ground.stage.produce([record("first")])
        wait_for(lambda: ground.ids("from-service") == ["first"], "the service's filter is applied")
        assert service.asked[0] == "/api/v1/filters?schemaId=event&version=v1&enabled=true"
        nonsense = (
            b"",
            b"{",
            b'{"filters": 5}',
            b'[{"id": "x"}]',
            b"[1]",
            b'"\xff"',
            json.dumps([one("A B")]).encode(),
        )
        for count, body in enumerate(nonsense, start=1):
            service.body = body
            wait_for(lambda known=count: len(instance.events("filters_kept")) >= known, "nonsense is told of")
        service.body, service.status = None, 503
        kept = len(instance.events("filters_kept"))
        wait_for(lambda: len(instance.events("filters_kept")) > kept + 1, "an error is told of")
        ground.stage.produce([record("second")])
        wait_for(lambda: ground.ids("from-service") == ["first", "second"], "the last good set is still applied")
        assert instance.events("filters_switched") == []
        service.status = 200
        service.filters = [one("another")]
        wait_for(lambda: instance.events("filters_switched"), "the new answer is applied")
        ground.stage.produce([record("third")])
        wait_for(lambda: ground.ids("another") == ["third"], "to a topic that was not there")
    wait_for(lambda: instance.events("filters_kept")[-1]["reason"].count("ConnectError"), "its end is told of")
    ground.stage.produce([record("fourth")])
    wait_for(lambda: ground.ids("another") == ["third", "fourth"], "the last good set outlives the service")
    assert ground.ids("from-service") == ["first", "second"]
    assert ground.ids(CARS) == []
    assert instance.figure('headwater_processor_errors_total{kind="filters_unread"}') > len(nonsense)


def test_a_service_that_is_away_at_the_start_is_stood_in_for_by_the_file(
    ground: Any, wait_for: Wait, record: Record
) -> None:
    """The processor starts with the file's filters and takes the service's once it answers (FL-61)."""
    ground.stage.create_topics()
    with serving() as service:
        service.status = 500
        service.filters = [one("from-service")]
        instance = ground.start(METADATA_SERVICE_URL=service.url, FILTERS_RELOAD_SECONDS="0.1")
        ground.stage.produce([record("first")])
        wait_for(lambda: ground.ids(CARS) == ["first"], "the file's filter is applied")
        # Three retries each time that it is asked.
        assert len(service.asked) >= 4
        service.status = 200
        wait_for(lambda: instance.events("filters_switched"), "the service is heard")
        ground.stage.produce([record("second")])
        wait_for(lambda: ground.ids("from-service") == ["second"], "its filter is applied")
    assert ground.ids(CARS) == ["first"]


def test_a_v2_set_writes_beside_v1_under_its_own_names(ground: Any, wait_for: Wait, record: Record) -> None:
    """`filtered-car-created-events-v2` with the processor's suffix; V1's topics stay as they were (FL-19)."""
    ground.stage.create_topics()
    ground.start(FILTERS_FILE=str(schemas.v2_filters_path()))
    ground.stage.produce([record("car"), record("loan", event_type="LoanCreated", __op="r")])
    wait_for(lambda: ground.ids(f"{CARS}-v2") == ["car"], "the car is in V2's topic")
    wait_for(lambda: ground.ids("filtered-loan-created-events-v2") == ["loan"], "the loan too")
    assert ground.ids(CARS) == []
