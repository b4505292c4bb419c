"""The command line: what it prints and how it ends."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

import schemas
from flink_jobs.__main__ import app
from flink_jobs.rest import FlinkRest, Job
from flink_jobs.settings import FlinkSettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The variables that have no default; the command's logging ends with the test."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("FLINK_CHECKPOINT_DIR", str(tmp_path / "flink" / "checkpoints"))
    monkeypatch.setenv("FLINK_REST_URL", "http://127.0.0.1:9")
    yield
    structlog.reset_defaults()


def test_sql_is_printed() -> None:
    """The script goes to standard output, and only it (FL-56)."""
    result = CliRunner().invoke(app, ["sql"])
    assert result.exit_code == 0
    assert result.stdout.startswith("-- Generated ")
    assert result.stdout.endswith("END;\n")


def test_another_dialect_is_printed_as_well() -> None:
    """Each with what only it has, and the mark of its processor (FL-50, FL-54, FL-56)."""
    msk = CliRunner().invoke(app, ["sql", "--dialect", "msk"]).stdout
    assert "'properties.sasl.mechanism' = 'AWS_MSK_IAM'" in msk
    assert '"filtered-car-created-events-msk"' in msk
    confluent = CliRunner().invoke(app, ["sql", "--dialect", "confluent", "--value-format", "avro-registry"]).stdout
    assert "'value.format' = 'avro-registry'" in confluent
    assert "-- 7 of 7: insert-all-filters\nEXECUTE STATEMENT SET" in confluent


def test_a_script_that_names_no_broker_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confluent's tables are topics; where a broker is named, its variable is asked for (FL-50, FL-56)."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS")
    monkeypatch.delenv("FLINK_CHECKPOINT_DIR")
    assert CliRunner().invoke(app, ["sql", "--dialect", "confluent"]).exit_code == 0
    refused = CliRunner().invoke(app, ["sql", "--dialect", "msk"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "set KAFKA_BOOTSTRAP_SERVERS" in refused.stderr


def test_a_chosen_suffix_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets `TOPIC_SUFFIX` gets it in every dialect."""
    monkeypatch.setenv("TOPIC_SUFFIX", "-mine")
    for dialect in ("local", "msk", "confluent"):
        printed = CliRunner().invoke(app, ["sql", "--dialect", dialect]).stdout
        assert "filtered-car-created-events-mine" in printed
        assert not re.search("filtered-[a-z-]+-(flink|msk)", printed)


def test_sql_is_written_to_a_folder(tmp_path: Path) -> None:
    """A file for each call on Confluent Cloud, one script elsewhere; nothing is printed (FL-56)."""
    for dialect in ("local", "msk", "confluent"):
        result = CliRunner().invoke(
            app, ["sql", "--dialect", dialect, "--output", str(tmp_path / dialect), "--inserts", "single"]
        )
        assert (result.exit_code, result.stdout) == (0, "")
    found = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.sql")}
    assert {"local/local.sql", "msk/msk.sql", "confluent/01-source-raw-event-headers.sql"} <= found
    assert len(found) == 12


def test_what_a_dialect_refuses_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence with its remedy, status 1, no trace."""
    monkeypatch.setenv("TOPIC_SUFFIX", ".flink")
    result = CliRunner().invoke(app, ["sql", "--dialect", "confluent"])
    assert result.exit_code == 1
    assert result.stderr.startswith("'sink-filtered-car-created-events.flink' is no name of a statement: ")
    assert result.stderr.count("\n") == 1


def test_a_wrong_filter_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file and the JSON path of the fault, status 1."""
    file = tmp_path / "filters.json"
    body = json.loads(schemas.filters_path().read_text())
    body["filters"][2]["conditions"][0]["field"] = "no_such_column"
    file.write_text(json.dumps(body))
    monkeypatch.setenv("FILTERS_FILE", str(file))
    result = CliRunner().invoke(app, ["sql"])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{file}: $.filters[2].conditions[0]: unknown column 'no_such_column'")


@pytest.mark.parametrize(
    ("jobs", "code"),
    [
        ([Job("1", "headwater-filters", "RUNNING", 4, 4)], 0),
        ([Job("1", "headwater-filters", "RUNNING", 4, 3)], 1),
        ([Job("1", "another", "RUNNING", 4, 4)], 1),
        ([], 1),
    ],
)
def test_the_health_of_a_container_is_whether_the_whole_job_runs(
    monkeypatch: pytest.MonkeyPatch, jobs: list[Job], code: int
) -> None:
    """`check` exits 0 only then."""
    monkeypatch.setattr(FlinkRest, "jobs", lambda _: tuple(jobs))
    assert CliRunner().invoke(app, ["check"]).exit_code == code


def test_a_cluster_that_does_not_answer_is_told_by_its_address() -> None:
    """Status 1 and a question that helps."""
    result = CliRunner().invoke(app, ["status", "--json"])
    assert result.exit_code == 1
    assert result.stderr == "no answer from Flink at http://127.0.0.1:9; is the cluster up?\n"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "", "KAFKA_BOOTSTRAP_SERVERS"),
        ("FLINK_CHECKPOINT_DIR", "relative/path", "must be absolute"),
        ("FLINK_CONNECTOR_JARS", "/no/such.jar", "which is no file"),
        ("FLINK_PARALLELISM", "none", "FLINK_PARALLELISM"),
        ("FLINK_AVRO_JARS", "/no/such.jar", "FLINK_AVRO_JARS names /no/such.jar"),
        ("FLINK_VALUE_FORMAT", "avro", "needs SCHEMA_REGISTRY_URL"),
        ("FLINK_VALUE_FORMAT", "protobuf", "FLINK_VALUE_FORMAT"),
        ("SCHEMA_REGISTRY_URL", "registry:8081", "begins with http"),
        ("SCHEMA_REGISTRY_URL", "http://me:pw@registry", "SCHEMA_REGISTRY_CONFIG"),
        ("SCHEMA_REGISTRY_CONFIG", '{"ssl.ca.location": "/x"}', "unknown: ssl.ca.location"),
        ("FLINK_DELIVERY", "at-most-once", "FLINK_DELIVERY"),
        ("FLINK_TRANSACTION_TIMEOUT_SECONDS", "10", "must be longer than FLINK_CHECKPOINT_INTERVAL_SECONDS"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    """Status 2 and the variable, before anything is done."""
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["keep"])
    assert result.exit_code == 2
    assert told in result.stderr


def test_settings_have_the_defaults_of_the_contract(tmp_path: Path) -> None:
    """Topics, group and the place of the plans follow from the rest (CD-20, CD-24, CD-28)."""
    settings = FlinkSettings()
    assert settings.places.raw_topic == "raw-event-headers"
    assert settings.places.dead_letter_topic == "dlq-raw-event-headers"
    assert settings.places.suffix == "-flink"
    assert settings.flink_plan_dir == tmp_path / "flink" / "plans"
    assert settings.flink_savepoint_dir == tmp_path / "flink" / "savepoints"
    assert settings.places.delivery.guarantee == "at-least-once"
    assert settings.filters_file == schemas.filters_path()


def test_a_record_of_a_transaction_is_seen_within_a_second_unless_somebody_chooses_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its latency is the interval of checkpoints, which therefore is shorter with exactly-once (FL-47)."""
    assert FlinkSettings().flink_checkpoint_interval_seconds == 10
    monkeypatch.setenv("FLINK_DELIVERY", "exactly-once")
    monkeypatch.setenv("FLINK_CHECKPOINT_INTERVAL_SECONDS", "")
    assert FlinkSettings().flink_checkpoint_interval_seconds == 1
    monkeypatch.setenv("FLINK_CHECKPOINT_INTERVAL_SECONDS", "5")
    assert FlinkSettings().flink_checkpoint_interval_seconds == 5


def test_jars_are_joined_as_on_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the separator of the system."""
    jars = [tmp_path / name for name in ("a.jar", "b.jar")]
    for jar in jars:
        jar.touch()
    monkeypatch.setenv("FLINK_CONNECTOR_JARS", ":".join(map(str, jars)))
    assert FlinkSettings().flink_connector_jars == tuple(jars)


def test_a_folder_stands_for_the_jars_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An image need not say the connector's version twice."""
    for name in ("b.jar", "a.jar", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("FLINK_CONNECTOR_JARS", str(tmp_path))
    assert FlinkSettings().flink_connector_jars == (tmp_path / "a.jar", tmp_path / "b.jar")
