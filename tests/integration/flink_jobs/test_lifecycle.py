"""`headwater filters` on a real broker and a real cluster: deploy, change and roll back while records flow."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from tests.integration.flink_jobs.flow import Flow, committed_ids, runs_of

Json = dict[str, Any]
Record = Callable[..., bytes]
Wait = Callable[..., Any]


def one(name: str, kind: str, *more: Json, **changes: object) -> Json:
    """Return a filter that takes one type of event."""
    conditions = [{"field": "event_type", "operator": "equals", "value": kind}, *more]
    return {
        "id": name,
        "name": name,
        "consumerId": f"{name}-consumer",
        "outputTopic": f"filtered-{name}",
        "enabled": True,
        "conditions": conditions,
        **changes,
    }


BIG = {"field": "event_name", "operator": "equals", "value": "big"}


class Desk:
    """Whoever edits the filter file and gives the commands."""

    def __init__(self, stage: Any, folder: Path) -> None:
        self.stage = stage
        self.file = folder / "filters.json"
        stage.settings["FILTERS_FILE"] = str(self.file)
        self.environment = stage.environment | {"HEADWATER_STATE_DIR": str(folder / "state")}

    def write(self, *filters: Json) -> None:
        """Write the file as a person does."""
        self.file.write_text(json.dumps({"version": 1, "filters": list(filters)}, indent=2))

    def edit(self, name: str, **changes: object) -> None:
        """Change keys of one filter by hand."""
        document = json.loads(self.file.read_text())
        next(each for each in document["filters"] if each["id"] == name).update(changes)
        self.file.write_text(json.dumps(document, indent=2))

    def add(self, entry: Json) -> None:
        """Add a filter by hand."""
        document = json.loads(self.file.read_text())
        document["filters"].append(entry)
        self.file.write_text(json.dumps(document, indent=2))

    def filter(self, name: str) -> Json:
        """Return one filter as the file has it."""
        return next(each for each in json.loads(self.file.read_text())["filters"] if each["id"] == name)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Give a command."""
        command = [sys.executable, "-m", "stack", "filters", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=180, check=False)

    def ask(self, *arguments: str, code: int = 0) -> Any:
        """Give a command with `--json` and return its answer."""
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def deploy(self, *names: str) -> Json:
        """Approve filters, and deploy the file."""
        for name in names:
            self.ask("approve", name, "--by", "a reviewer")
        return dict(self.ask("deploy"))


@pytest.fixture
def desk(stage: Any, tmp_path: Path) -> Desk:
    """A desk with a filter file, beside a stage without topics and without a job."""
    return Desk(stage, tmp_path)


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_deploying_changing_and_rolling_back_under_load_loses_nothing(
    desk: Desk, record: Record, wait_for: Wait, delivery: str, record_property: Callable[[str, object], None]
) -> None:
    """At 200 events/s every filtered topic has what it must: 0 missing, 0 repeated (FL-73, FL-75)."""
    stage = desk.stage
    desk.environment["FLINK_DELIVERY"] = delivery
    stage.create_topics()
    desk.write(one("cars", "CarCreated"), one("loans", "LoanCreated"))
    desk.deploy("cars", "loans")
    topics = {name: stage.filtered(f"filtered-{name}") for name in ("cars", "loans", "payments")}

    def ids(name: str) -> Any:
        return committed_ids(stage.bootstrap, topics[name], 6)

    def settled(flow: Flow) -> None:
        """Wait until a record sent from now on has come through, so that each phase has records of its own."""
        mark = len(flow.sent) + 200
        wait_for(lambda: len(flow.sent) >= mark, "200 more records are sent")
        cars = flow.ids("CarCreated")[-1]
        wait_for(lambda: cars in ids("cars"), "they have come through")

    jobs = []
    with Flow(stage.bootstrap, stage.raw, record) as flow:
        settled(flow)
        desk.add(one("payments", "LoanPaymentSubmitted"))
        jobs.append(desk.deploy("payments")["job_id"])
        settled(flow)
        desk.edit("loans", conditions=one("loans", "LoanCreated", BIG)["conditions"])
        jobs.append(desk.deploy("loans")["job_id"])
        settled(flow)
        jobs.append(desk.ask("rollback")["deployment"]["job_id"])
        settled(flow)
    assert flow.failures == []
    assert len(set(jobs)) == 3
    assert len(flow.sent) / flow.seconds > 150

    cars, small, payments = flow.ids("CarCreated"), flow.ids("LoanCreated", big=False), flow.ids("LoanPaymentSubmitted")
    wait_for(lambda: ids("cars").keys() >= set(cars), "every car has come through")
    wait_for(lambda: small[-1] in ids("loans"), "the last loan has come through")
    wait_for(lambda: payments[-1] in ids("payments"), "the last payment has come through")
    found = {name: ids(name) for name in topics}
    figures = {"sent": len(flow.sent), "seconds": round(flow.seconds, 1), "delivery": delivery}
    figures |= {f"repeated {name}": sum(seen.values()) - len(seen) for name, seen in found.items()}
    record_property("figure", f"filters under load: {json.dumps(figures)}")

    # What no change concerned: all of it, and nothing else.
    assert set(found["cars"]) == set(cars)
    # Loans that both definitions take.
    assert set(flow.ids("LoanCreated", big=True)) <= set(found["loans"])
    assert set(found["loans"]) <= set(flow.ids("LoanCreated"))
    # What a change concerned: each record by the old definition or the new one, in the order of a partition, and once
    # the new one, then always. The raw topic has three partitions.
    for expected, kind, big, name in (
        ([True, False, True], "LoanCreated", False, "loans"),
        ([False, True], "LoanPaymentSubmitted", None, "payments"),
    ):
        partitions = flow.in_order(kind, big=big)
        assert len(partitions) == 3
        for names in partitions.values():
            assert runs_of([each in found[name] for each in names]) == expected, name
    assert set(found["payments"]) <= set(payments)
    # At least once too, since a job that is replaced in good order ends with a savepoint.
    assert all(seen.total() == len(seen) for seen in found.values())


def test_a_failed_deployment_leaves_the_old_job_and_says_failed(desk: Desk, record: Record, wait_for: Wait) -> None:
    """Exit 1, Flink's cause in the file, what ran runs on with its filters (FL-74)."""
    stage = desk.stage
    stage.create_topics()
    desk.write(one("cars", "CarCreated"))
    before = desk.deploy("cars")
    desk.add(one("loans", "LoanCreated"))
    desk.ask("approve", "loans")
    # The raw topic of the new job is not there, so its tasks fail; the old job goes on with the right one.
    desk.environment["CDC_TOPIC"] = f"no-{stage.raw}"
    done = desk.run("deploy", "--timeout", "10")
    assert done.returncode == 1
    told = "".join(done.stderr.split())
    assert "Thedeploymentfailed" in told
    assert "UnknownTopicOrPartition" in told
    failed = desk.filter("loans")
    assert failed["status"] == "failed"
    assert "UnknownTopicOrPartition" in failed["deploymentError"]
    assert "UnknownTopicOrPartition" in failed["deployments"]["flink"]["error"]
    assert desk.filter("cars")["status"] == "deployed"
    desk.environment["CDC_TOPIC"] = stage.raw
    # What runs is what ran: the difference is the filter that failed.
    different = desk.ask("diff", code=2)
    assert different["plan"] == before["plan"]
    assert [(each["id"], each["kind"]) for each in different["changes"]] == [("loans", "added")]
    stage.produce([record("car"), record("before", event_type="LoanCreated")])
    cars, loans = stage.filtered("filtered-cars"), stage.filtered("filtered-loans")
    wait_for(lambda: "car" in committed_ids(stage.bootstrap, cars, 6), "the old job routes")
    # The cause mended, the same command does it, without another approval.
    assert desk.ask("deploy")["deployed"] == ["loans"]
    stage.produce([record("after", event_type="LoanCreated")])
    wait_for(lambda: "after" in committed_ids(stage.bootstrap, loans, 6), "the new job routes")
    assert "deploymentError" not in desk.filter("loans")


def test_the_same_filters_are_not_deployed_again(desk: Desk) -> None:
    """No restart where the job stays the same, however often it is asked, and no backup (FL-72)."""
    desk.stage.create_topics()
    desk.write(one("cars", "CarCreated"))
    first = desk.deploy("cars")
    assert first["topics_created"] == [desk.stage.filtered("filtered-cars")]
    again = desk.ask("deploy")
    assert (again["changed"], again["job_id"], again["backup"]) == (False, first["job_id"], None)
    desk.edit("cars", description="Said better.")
    described = desk.ask("deploy")
    assert (described["changed"], described["job_id"]) == (False, first["job_id"])
    assert [job.id for job in desk.stage.jobs()] == [first["job_id"]]
    entry = desk.filter("cars")
    assert entry["status"] == "deployed"
    assert entry["flinkStatementIds"] == [first["job_id"]]
    assert desk.ask("diff")["different"] is False


def _read_and_commit(bootstrap: str, topic: str, group: str) -> None:
    """Read one record as a group, and commit it."""
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
    reader = Consumer({**settings, "enable.auto.commit": False})
    try:
        reader.subscribe([topic])
        message = reader.poll(60)
        assert message is not None
        assert message.error() is None
        reader.commit(message, asynchronous=False)
    finally:
        reader.close()


def test_cleanup_removes_what_is_ours_and_nothing_else(desk: Desk, record: Record, wait_for: Wait) -> None:
    """A topic goes if no filter names it and a record says it was ours; unread records are told (FL-77, FL-78)."""
    stage = desk.stage
    stage.create_topics("filtered-strange")
    desk.write(one("cars", "CarCreated"), one("loans", "LoanCreated"))
    desk.deploy("cars", "loans")
    cars, loans, strange = (stage.filtered(f"filtered-{name}") for name in ("cars", "loans", "strange"))
    stage.produce([record("loan", event_type="LoanCreated")])
    wait_for(lambda: "loan" in committed_ids(stage.bootstrap, loans, 6), "a loan is there")
    _read_and_commit(stage.bootstrap, loans, "loans-consumer-group")
    stage.produce([record("another", event_type="LoanCreated")])
    wait_for(lambda: "another" in committed_ids(stage.bootstrap, loans, 6), "another loan is there")
    desk.write(desk.filter("cars"))
    listed = {each["name"]: each for each in desk.ask("cleanup", "--dry-run")["found"] if each["kind"] == "topic"}
    # The job still writes to it.
    assert set(listed) == {strange}
    desk.ask("deploy")
    answer = desk.ask("cleanup", "--dry-run")
    assert answer["removed"] == []
    listed = {each["name"]: each for each in answer["found"] if each["kind"] == "topic"}
    assert set(listed) == {loans, strange}
    assert (listed[loans]["ours"], listed[loans]["unread"]) == (True, 1)
    assert listed[strange]["ours"] is False
    assert "1 RECORDS THAT NOBODY HAS READ" in desk.run("cleanup", "--dry-run").stdout
    removed = desk.ask("cleanup", "--yes")["removed"]
    assert {("topic", loans), ("group", "loans-consumer-group")} <= {(each["kind"], each["name"]) for each in removed}
    admin = AdminClient({"bootstrap.servers": stage.bootstrap})
    wait_for(lambda: loans not in admin.list_topics(timeout=10).topics, "the topic is gone")
    groups = {each.group_id for each in admin.list_consumer_groups().result(30).valid}
    assert "loans-consumer-group" not in groups
    assert {cars, strange, stage.raw} <= set(admin.list_topics(timeout=10).topics)
    assert stage.whole() is not None
