"""`headwater filters deploy --target confluent` against a stand-in that speaks the documented routes and is strict."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flink_jobs.confluent import statements
from stack.errors import StackError
from stack.filter_commands import app
from tests.unit.flink_jobs.confluent.stand_in import (
    CLUSTER,
    ENVIRONMENT,
    FLINK_KEY,
    ORGANISATION,
    POOL,
    PRINCIPAL,
    REGISTRY_KEY,
    Cloud,
    Running,
    serving,
)

Json = dict[str, Any]
CARS, LOANS = "insert-filtered-cars-filter-flink", "insert-filtered-loans-filter-flink"


def one(name: str, kind: str, **changes: object) -> Json:
    """Return an approved filter that takes one type of event."""
    conditions = [{"field": "event_type", "operator": "equals", "value": kind}]
    return {
        "id": name,
        "name": name,
        "consumerId": name,
        "outputTopic": f"filtered-{name}",
        "enabled": True,
        "status": "approved",
        "conditions": conditions,
        **changes,
    }


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """An environment without statements, and the variables that name it; phases are asked for without a pause."""
    made = Cloud()
    monkeypatch.setattr(statements.time, "sleep", lambda _: None)
    with serving(made) as url:
        for name, value in {
            "CONFLUENT_ORGANIZATION_ID": ORGANISATION,
            "CONFLUENT_ENV_ID": ENVIRONMENT,
            "KAFKA_CLUSTER_ID": CLUSTER,
            "FLINK_REST_ENDPOINT": url,
            "FLINK_API_KEY": FLINK_KEY[0],
            "FLINK_API_SECRET": FLINK_KEY[1],
            "FLINK_COMPUTE_POOL_ID": POOL,
            "FLINK_PRINCIPAL_ID": PRINCIPAL,
            "SCHEMA_REGISTRY_URL": url,
            "SCHEMA_REGISTRY_API_KEY": REGISTRY_KEY[0],
            "SCHEMA_REGISTRY_API_SECRET": REGISTRY_KEY[1],
            "HEADWATER_STATE_DIR": str(tmp_path / "state"),
            "FILTERS_FILE": str(tmp_path / "filters.json"),
            "JAVA_HOME": "/nowhere",
        }.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def file(tmp_path: Path, cloud: Cloud) -> Path:
    """A file with two approved filters."""
    path = tmp_path / "filters.json"
    write(path, one("cars", "CarCreated"), one("loans", "LoanCreated"))
    return path


def write(path: Path, *filters: Json) -> None:
    """Write a filter file."""
    path.write_text(json.dumps({"version": 1, "filters": filters}))


def filters(path: Path) -> dict[str, Json]:
    """Return the filters of a file by id."""
    return {each["id"]: each for each in json.loads(path.read_text())["filters"]}


def deploy(*arguments: str) -> Json:
    """Deploy, and return the answer."""
    result = CliRunner().invoke(app, ["deploy", "--target", "confluent", "--json", "--timeout", "5", *arguments])
    assert result.exit_code == 0, result.output + str(result.exception)
    return dict(json.loads(result.stdout))


def refused() -> StackError:
    """Deploy, and return why that was refused."""
    result = CliRunner().invoke(app, ["deploy", "--target", "confluent", "--timeout", "5"])
    assert isinstance(result.exception, StackError), result.output + str(result.exception)
    for _, secret in (FLINK_KEY, REGISTRY_KEY):
        assert secret not in str(result.exception)
    return result.exception


def test_schema_source_sinks_and_inserts_are_deployed_in_order(file: Path, cloud: Cloud) -> None:
    """Each is one call, under the names of the contract, and the file says where each filter runs (FL-52, FL-72)."""
    done = deploy()
    assert done["created"] == [
        "source-raw-event-headers",
        "options-raw-event-headers",
        "sink-filtered-cars-flink",
        "sink-filtered-loans-flink",
        CARS,
        LOANS,
    ]
    assert cloud.named("RUNNING") == {CARS, LOANS}
    assert cloud.rules == {"raw-event-headers-value": "BACKWARD"}
    assert done["schema_registered"] is True
    registered = cloud.asked.index(("POST", "/subjects/raw-event-headers-value/versions"))
    assert registered < min(place for place, (_, path) in enumerate(cloud.asked) if path.startswith("/sql/"))
    entry = filters(file)["cars"]
    assert (entry["status"], entry["flinkStatementIds"]) == ("deployed", [CARS])
    assert entry["deployments"]["flink"]["statementIds"] == [CARS]


def test_what_is_there_unchanged_is_left_alone(file: Path, cloud: Cloud) -> None:
    """Nothing is created, stopped or deleted a second time (FL-72)."""
    deploy()
    before = len(cloud.asked)
    again = deploy()
    assert len(again["unchanged"]) == 6
    assert {method for method, path in cloud.asked[before:] if path.startswith("/sql/")} == {"GET"}
    assert again["schema_registered"] is False


def test_a_changed_insert_goes_on_where_the_old_one_stopped(file: Path, cloud: Cloud) -> None:
    """The new version starts at the old one's offsets, and only it writes; the others are not touched (FL-73)."""
    deploy()
    stops: dict[str, int | None] = {}
    delete = cloud.serve

    def watched(method: str, target: str, headers: Any, raw: bytes) -> tuple[int, Any]:
        if method == "DELETE" and target.endswith(LOANS):
            stops["old"] = cloud.statements[LOANS].stopped_at
        return delete(method, target, headers, raw)

    cloud.serve = watched  # type: ignore[method-assign]
    write(file, filters(file)["cars"], one("loans", "LoanChanged", version=2))
    done = deploy()
    new = f"{LOANS}-v2"
    assert (done["replaced"], done["created"]) == ([new], [])
    assert set(cloud.statements) >= {CARS, new}
    assert LOANS not in cloud.statements
    assert cloud.statements[new].started_at == stops["old"]
    assert stops["old"]
    assert cloud.writes() == {"filtered-cars-flink": 1, "filtered-loans-flink": 1}
    assert filters(file)["loans"]["flinkStatementIds"] == [new]
    write(file, filters(file)["cars"], one("loans", "LoanCreated", version=3))
    assert deploy()["replaced"] == [f"{LOANS}-v3"]
    assert cloud.named("RUNNING") == {CARS, f"{LOANS}-v3"}


def test_a_replacement_that_fails_leaves_the_old_one_running(file: Path, cloud: Cloud) -> None:
    """It is resumed where it stopped; exit 1, and the file says `failed` with the service's reason (FL-74)."""
    deploy()
    cloud.refuses[f"{LOANS}-v2"] = "no capacity in the pool"
    write(file, filters(file)["cars"], one("loans", "LoanChanged"))
    error = refused()
    assert "no capacity in the pool" in error.problem
    assert cloud.named("RUNNING") == {CARS, LOANS}
    assert cloud.writes()["filtered-loans-flink"] == 1
    entry = filters(file)["loans"]
    assert entry["status"] == "failed"
    assert "no capacity in the pool" in entry["deploymentError"]
    assert filters(file)["cars"]["status"] == "deployed"
    cloud.refuses.clear()
    assert deploy()["replaced"] == [f"{LOANS}-v2"]
    assert filters(file)["loans"]["status"] == "deployed"


def test_a_run_that_was_cut_off_is_gone_on_with(file: Path, cloud: Cloud) -> None:
    """A replacement that waits for the old one gets it stopped; one of yesterday's text is taken away (FL-73)."""
    deploy()
    write(file, filters(file)["cars"], one("loans", "LoanChanged"))
    old = cloud.statements[LOANS]
    spec = old.body["spec"]
    for text, replaced in (
        (spec["statement"].replace("LoanCreated", "Yesterday"), "other"),
        (spec["statement"].replace("LoanCreated", "LoanChanged"), "same"),
    ):
        body = json.loads(json.dumps({**old.body, "name": f"{LOANS}-v2"}))
        body["spec"]["statement"] = text
        body["spec"]["properties"]["sql.tables.initial-offset-from"] = LOANS
        cloud.statements[LOANS] = Running(old.body, phase="RUNNING")
        cloud.statements[f"{LOANS}-v2"] = Running(body)
        assert deploy()["replaced"] == [f"{LOANS}-v2"], replaced
        assert cloud.named("RUNNING") == {CARS, f"{LOANS}-v2"}
        assert "LoanChanged" in cloud.statements.pop(f"{LOANS}-v2").body["spec"]["statement"]


def test_a_filter_that_is_gone_writes_no_more_and_what_is_not_ours_stays(file: Path, cloud: Cloud) -> None:
    """Only inserts that a deployment of ours has made are removed (FL-72, FL-78)."""
    deploy()
    cloud.statements["insert-somebody-elses"] = Running(cloud.statements[CARS].body | {"name": "x"}, phase="RUNNING")
    write(file, filters(file)["cars"])
    assert deploy()["removed"] == [LOANS]
    assert cloud.named("RUNNING") == {CARS, "insert-somebody-elses"}


def test_a_first_insert_that_fails_is_told_and_tried_again(file: Path, cloud: Cloud) -> None:
    """Earlier statements hold; the same command goes on from there (FL-74)."""
    cloud.refuses[LOANS] = "table is locked"
    assert "table is locked" in refused().problem
    assert cloud.named("RUNNING") == {CARS}
    assert filters(file)["cars"]["status"] == "failed"
    cloud.refuses.clear()
    deploy()
    assert len(cloud.named("RUNNING")) == 2
    assert {each["status"] for each in filters(file).values()} == {"deployed"}


def test_a_schema_that_does_not_go_with_the_registered_one_is_refused_first(file: Path, cloud: Cloud) -> None:
    """Before any statement is sent (FL-52, FL-53)."""
    cloud.subjects["raw-event-headers-value"] = ["{}"]
    cloud.incompatible = True
    assert "not BACKWARD compatible" in refused().problem
    assert cloud.statements == {}


def test_avro_registers_no_schema_of_ours(file: Path, cloud: Cloud) -> None:
    """The engine registers its own (FL-52)."""
    cloud.subjects["raw-event-headers-value"] = ["avro"]
    deploy("--value-format", "avro-registry")
    assert cloud.subjects == {"raw-event-headers-value": ["avro"]}


def test_an_unapproved_filter_is_refused_unless_forced(file: Path, cloud: Cloud) -> None:
    """No request is made; forced, it is approved in somebody's name, and that is marked (FL-35)."""
    write(file, one("cars", "CarCreated", status="pending_approval"))
    assert "not approved" in refused().problem
    assert cloud.asked == []
    deploy("--force", "--by", "Ada")
    approval = filters(file)["cars"]["approvals"]["flink"]
    assert (approval["by"], approval["forced"]) == ("Ada", True)


def test_later_is_heeded(file: Path, cloud: Cloud) -> None:
    """A request that comes too early is made again."""
    cloud.later = 3
    deploy()
    assert len(cloud.named("RUNNING")) == 2


def test_a_wrong_key_is_told_without_the_secret(file: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the status, and nothing that was secret."""
    monkeypatch.setenv("FLINK_API_SECRET", "wrong-secret-value")
    error = refused()
    assert "status 401" in error.problem
    assert "wrong-secret-value" not in str(error)


def test_a_missing_variable_is_named_before_anything_is_done(
    file: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name."""
    monkeypatch.delenv("FLINK_COMPUTE_POOL_ID")
    assert "FLINK_COMPUTE_POOL_ID" in refused().problem
    assert cloud.asked == []
