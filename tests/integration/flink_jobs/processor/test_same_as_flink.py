"""The processor and the Flink job over the same raw records: the same records come out, byte for byte."""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import schemas
from flink_jobs.conditions import Operator
from flink_jobs.filters import Filter, parse_filters, to_file_form
from tests.integration.flink_jobs.processor.raw_values import FOUND, USUAL, broken, spelled
from tests.integration.flink_jobs.samples import sample_filters, sample_records

Wait = Callable[..., Any]
Json = dict[str, Any]

FILTERS, HEADERS = 12, 500
SEED = "SAME_SEED"
"""The variable that repeats a run."""

EVERYTHING: Json = {
    "id": "everything",
    "name": "Everything that can be read",
    "consumerId": "c",
    "outputTopic": "everything",
    "conditionLogic": "OR",
    "conditions": [
        {"field": "event_type", "operator": "isNull"},
        {"field": "event_type", "operator": "isNotNull"},
        {"field": "__op", "operator": "isNull"},
    ],
    "enabled": True,
}


def _document(made: list[Filter]) -> Json:
    shipped = json.loads(Path(schemas.filters_path()).read_text())["filters"]
    generated = [
        json.loads(one.model_dump_json(by_alias=True, exclude_unset=True)) | {"id": f"g{at}", "outputTopic": f"g{at}"}
        for at, one in enumerate(made)
    ]
    every = [{**each, "targets": ["flink", "spring"]} for each in (EVERYTHING, *shipped, *generated)]
    return to_file_form(parse_filters({"version": 1, "filters": every}))


def _written(messages: list[Any]) -> Counter[tuple[int, bytes | None, bytes | None]]:
    return Counter((each.partition(), each.key(), each.value()) for each in messages)


def _letters(messages: list[Any]) -> dict[tuple[bytes, bytes], tuple[bytes | None, bytes | None, str, bytes]]:
    """Return dead letters by where they come from; of a reason what is said in our own words."""
    found = {}
    for each in messages:
        told = dict(each.headers())
        assert set(told) == {"dlq-reason", "dlq-topic", "dlq-partition", "dlq-offset"}
        reason = told["dlq-reason"].decode()
        place = (told["dlq-partition"], told["dlq-offset"])
        found[place] = (each.key(), each.value(), reason.partition(":")[0], told["dlq-topic"])
    assert len(found) == len(messages)
    return found


@pytest.mark.slow
def test_flink_and_the_processor_write_the_same_records(ground: Any, wait_for: Wait) -> None:
    """Generated headers and garbage, shipped and generated filters: equal topics and equal dead letters (FL-60)."""
    number = int(os.environ.get(SEED) or random.randrange(2**32))
    sys.stdout.write(f"repeat with {SEED}={number}\n")
    # Regular expressions are compared elsewhere; several repetitions in a row and a thousand digits take for ever.
    made = sample_filters(FILTERS * 4, number)
    plain = [one for one in made if all(each.operator is not Operator.MATCHES for each in one.conditions)]
    document = _document(plain[:FILTERS])
    bases = [each["outputTopic"] for each in document["filters"]]
    choice = random.Random(number)
    headers = [spelled(each, choice) for each in sample_records(HEADERS, number + 1)]
    values = [*FOUND, *headers, *(broken(each, choice) for each in (*headers, *[USUAL] * 100))]
    stage = ground.stage
    stage.use(document)
    stage.create_topics(*bases)
    stage.produce(values)
    stage.submit()
    instance = ground.start()
    wait_for(lambda: instance.figure("headwater_processor_received_total") == len(values), "the processor is through")
    ours = _letters(ground.committed(ground.dead))
    everything = _written(ground.committed(ground.output("everything")))
    assert len(ours) + everything.total() == len(values)
    wait_for(
        lambda: len(stage.read(stage.dead)) + len(stage.read(stage.filtered("everything"))) >= len(values),
        "Flink is through",
    )
    theirs = _letters(stage.read(stage.dead))
    unlike = {
        place: (ours.get(place), theirs.get(place)) for place in ours | theirs if ours.get(place) != theirs.get(place)
    }
    assert not unlike, f"{SEED}={number}, {len(unlike)} dead letters differ, ours first: {list(unlike.items())[:8]}"
    for base in bases:
        mine, flink = _written(ground.committed(ground.output(base))), _written(stage.read(stage.filtered(base)))
        assert mine == flink, (
            f"{SEED}={number}, {base}: only ours {list(mine - flink)[:3]}, only Flink's {list(flink - mine)[:3]}"
        )
    assert min(len(ours), everything.total()) > len(values) // 10, "the values say too little"
    assert sum(1 for base in bases if ground.committed(ground.output(base))) > len(bases) // 4
