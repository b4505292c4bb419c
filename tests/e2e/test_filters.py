"""A filter's life on the stack as a user has it: the stack's own file, the running job, an event from POST to topic."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import schemas
from stack.settings import StackSettings
from tests.integration.flink_jobs.flow import committed_ids
from tests.waiting import eventually

Run = Callable[..., Any]

REDS = {
    "id": "reds",
    "name": "Red cars",
    "consumerId": "paint-shop",
    "outputTopic": "filtered-reds",
    "enabled": True,
    "conditions": [{"field": "event_type", "operator": "equals", "value": "CarCreated"}],
}


def test_a_filter_is_written_deployed_and_taken_back_on_the_stacks_own_file(
    running_stack: StackSettings, headwater: Run
) -> None:
    """`headwater up` made it, the keeper started from it, and every command finds it by itself (FL-70 to FL-77)."""
    file = Path(running_stack.state_dir) / "filters.json"

    def ask(*arguments: str, code: int = 0) -> Any:
        done = headwater("filters", *arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    assert ask("diff")["different"] is False
    before = file.read_text()
    document = json.loads(before)
    assert [each["id"] for each in document["filters"]] == [
        each["id"] for each in json.loads(schemas.filters_path().read_text())["filters"]
    ]
    document["filters"].append(REDS)
    file.write_text(json.dumps(document))
    assert ask("validate")["valid"] is True
    assert headwater("filters", "deploy").returncode == 1
    ask("approve", "reds", "--by", "a reviewer")
    done = ask("deploy")
    assert (done["changed"], done["deployed"]) == (True, ["reds"])
    topic = "filtered-reds-flink"
    assert done["topics_created"] == [topic]
    event = next(each for each in schemas.samples().values() if each["eventHeader"]["eventType"] == "CarCreated")
    posted = json.loads(json.dumps(event))
    del posted["eventHeader"]["uuid"]
    answer = headwater("send", "-", text=json.dumps(posted))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    expected = Counter({json.loads(answer.stdout)["event_id"]: 1})

    def routed() -> bool:
        return committed_ids(running_stack.kafka_bootstrap, topic, 6).keys() >= expected.keys()

    eventually(routed, "the event is in the topic of the new filter", 60)
    assert ask("rollback")["kind"] == "previous"
    assert [each["id"] for each in json.loads(file.read_text())["filters"]] == [
        each["id"] for each in json.loads(before)["filters"]
    ]
    removed = {(each["kind"], each["name"]) for each in ask("cleanup", "--yes")["removed"]}
    assert ("topic", topic) in removed
    assert ask("diff")["different"] is False
