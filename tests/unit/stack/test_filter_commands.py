"""`headwater filters …` without a cluster: what each command prints, how it ends, and which file it means."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import schemas
from stack.errors import StackError
from stack.filter_commands import app
from stack.local import LocalStack
from stack.pipeline import JOB_KEEPER
from stack.settings import StackSettings

Json = dict[str, Any]

ENTRY = {
    "id": "big-loans",
    "name": "Big loans",
    "consumerId": "loan-desk",
    "outputTopic": "filtered-big-loans",
    "enabled": True,
    "conditions": [
        {"field": "event_type", "operator": "equals", "value": "LoanCreated"},
        {"field": "header_data.amount", "operator": "greaterThan", "value": 50000, "valueType": "number"},
    ],
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stack that was never started, and a broker and a cluster that are not there."""
    monkeypatch.setenv("HEADWATER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HEADWATER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("FLINK_REST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    for name in ("FILTERS_FILE", "KAFKA_BOOTSTRAP_SERVERS", "HEADER_ENTITY_FIELDS", "TOPIC_SUFFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A filter file with one filter that nobody has approved."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"version": 1, "filters": [ENTRY]}, indent=2))
    return path


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let the connector be where a stack that was started once has it."""
    jar = tmp_path / "connector.jar"
    jar.touch()
    monkeypatch.setenv("FLINK_CONNECTOR_JARS", str(jar))
    return


def run(*arguments: object, code: int = 0, text: str | None = None) -> str:
    """Give a command and return what it prints on standard output."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], input=text)
    assert result.exit_code == code, result.output + str(result.exception)
    return result.stdout


def ask(*arguments: object, code: int = 0, text: str | None = None) -> Any:
    """Give a command with `--json` and return its answer."""
    return json.loads(run(*arguments, "--json", code=code, text=text))


def refused(*arguments: object) -> StackError:
    """Give a command that is refused and return why."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert isinstance(result.exception, StackError), result.output
    assert result.stdout == ""
    return result.exception


def test_a_valid_file_is_valid_in_every_dialect(file: Path) -> None:
    """Exit 0 (FL-70)."""
    assert ask("validate", file) == {"file": str(file), "valid": True, "filters": 1, "errors": []}
    assert "1 filters, valid in local, confluent, msk" in run("validate", file)


@pytest.mark.parametrize(
    ("broken", "path", "text"),
    [
        (lambda one: one["conditions"][1].update(value="a lot"), "$.filters[0].conditions[1]", '"a lot"'),
        (lambda one: one["conditions"][0].update(field="no_such"), "$.filters[0].conditions[0]", '"no_such"'),
        (lambda one: one.update(colour="red"), "$.filters[0].colour", '"red"'),
        (lambda one: one.pop("name"), "$.filters[0].name", '"big-loans"'),
        (lambda one: one.update(createdAt="yesterday"), "$.filters[0].createdAt", '"yesterday"'),
        (lambda one: one.update(outputTopic="x" * 120), "$.filters[0]", '"big-loans"'),
    ],
    ids=["type", "column", "unknown key", "missing key", "no date", "too long for Confluent"],
)
def test_the_first_mistake_is_told_with_its_path_and_text(file: Path, broken: Any, path: str, text: str) -> None:
    """Exit 1; structure, meaning and what a dialect refuses (FL-70)."""
    document = json.loads(file.read_text())
    broken(document["filters"][0])
    file.write_text(json.dumps(document))
    (error, *_) = ask("validate", file, code=1)["errors"]
    assert error["path"] == path
    assert text in error["text"]
    told = CliRunner().invoke(app, ["validate", str(file)])
    assert (told.exit_code, told.stdout) == (1, "")
    assert f"{file}: {path}: " in told.stderr
    assert text in told.stderr


def test_text_that_is_no_json_is_told_with_its_line(file: Path) -> None:
    """The line as it stands in the file (FL-70)."""
    file.write_text('{"version": 1,\n "filters": [,]\n}')
    (error,) = ask("validate", file, code=1)["errors"]
    assert (error["path"], error["text"]) == ("$", '"filters": [,]')
    assert "line 2" in error["reason"]
    file.unlink()
    assert "cannot be read" in ask("validate", file, code=1)["errors"][0]["reason"]


def test_sql_is_printed_in_every_dialect(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker over there is not the one of the local stack (FL-50, FL-54, FL-56)."""
    assert "filtered-big-loans-flink" in run("sql", "--file", file)
    assert "insert-all-filters" in run("sql", "--file", file, "--dialect", "confluent")
    assert "set KAFKA_BOOTSTRAP_SERVERS" in refused("sql", "--file", file, "--dialect", "msk").problem
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "b-1.example")
    assert "b-1.example:9098" in run("sql", "--file", file, "--dialect", "msk")


def test_sql_is_written_only_without_dry_run(file: Path, tmp_path: Path) -> None:
    """A dry run names the files (FL-56)."""
    folder = tmp_path / "out"
    told = run("sql", "--file", file, "--dialect", "confluent", "--output", folder, "--dry-run")
    assert "01-source-raw-event-headers.sql" in told
    assert not folder.exists()
    run("sql", "--file", file, "--dialect", "confluent", "--output", folder)
    assert (folder / "01-source-raw-event-headers.sql").is_file()


def test_the_other_processors_filters_are_made_alone_or_beside(file: Path, tmp_path: Path) -> None:
    """Those that are enabled for it, in the form of the file (FL-56, FL-60)."""
    both = {**ENTRY, "id": "both", "outputTopic": "filtered-both", "targets": ["flink", "spring"]}
    off = {**both, "id": "off", "outputTopic": "filtered-off", "enabled": False}
    file.write_text(json.dumps({"version": 1, "filters": [ENTRY, both, off]}))
    only = json.loads(run("sql", "--file", file, "--only", "processor"))
    assert only == {"version": 1, "filters": [both]}
    assert ask("sql", "--file", file)["processor"] == only
    assert ask("sql", "--file", file, "--only", "flink")["processor"] is None
    run("sql", "--file", file, "--output", tmp_path / "all")
    assert {each.name for each in (tmp_path / "all").iterdir()} == {"local.sql", "filters-processor.json"}


def test_events_are_shown_with_what_matches_and_why_the_rest_does_not(file: Path) -> None:
    """A table for a person, everything for a program; from a file or standard input."""
    small, big = (
        {"id": name, "event_type": "LoanCreated", "header_data": {"amount": amount}}
        for name, amount in (("small", 50000), ("big", 50001))
    )
    text = f"{json.dumps(small)}\n{json.dumps(big)}\n" + json.dumps({"id": 7})
    table = run("test", "-", "--file", file, text=text)
    assert "header_data.amount greaterThan 50000, but it is '50000'" in table
    assert "filtered-big-loans-flink" in table
    assert "field id is not a text" in table
    answer = ask("test", "-", "--file", file, text=text)
    assert [each["dead_letter"] for each in answer] == [None, None, "field id is not a text"]
    assert [each["filters"][0]["matches"] for each in answer[:2]] == [False, True]
    (decisive,) = answer[0]["filters"][0]["decisive"]
    assert (decisive["found"], decisive["verdict"]) == ("50000", False)


def test_a_disabled_filter_is_shown_as_such(file: Path) -> None:
    """It would match, and nothing goes there."""
    run("disable", "big-loans", "--file", file)
    text = json.dumps({"id": "a", "event_type": "LoanCreated", "header_data": {"amount": 60000}})
    assert "matches (disabled)" in run("test", "-", "--file", file, text=text)


def test_an_approval_has_a_name_and_a_time(file: Path) -> None:
    """For the target named, or for all (FL-34)."""
    entry = ask("approve", "big-loans", "--by", "Ada", "--file", file)["filter"]
    assert (entry["status"], entry["approvedBy"]) == ("approved", "Ada")
    assert entry["approvals"]["flink"]["by"] == "Ada"
    before = file.read_bytes()
    assert "approved already" in run("approve", "big-loans", "--by", "Eve", "--file", file)
    assert file.read_bytes() == before
    assert "has no target 'spring'" in refused("approve", "big-loans", "--target", "spring", "--file", file).problem


def test_an_edit_wants_another_approval_and_has_a_higher_version(file: Path) -> None:
    """Found when the next command looks at the filter (FL-36)."""
    run("approve", "big-loans", "--by", "Ada", "--file", file)
    document = json.loads(file.read_text())
    document["filters"][0]["conditions"].pop()
    file.write_text(json.dumps(document))
    entry = ask("approve", "big-loans", "--by", "Bob", "--file", file)["filter"]
    assert (entry["version"], entry["approvedBy"], entry["status"]) == (2, "Bob", "approved")


def test_a_filter_that_is_not_there_is_told_with_those_that_are(file: Path) -> None:
    """No guess is made."""
    error = refused("approve", "small-loans", "--file", file)
    assert "no filter 'small-loans'" in error.problem
    assert "big-loans" in error.remedy


def test_a_soft_delete_is_refused_where_the_state_does_not_allow_it(file: Path) -> None:
    """With the moves that are allowed (FL-31, FL-78)."""
    error = refused("disable", "big-loans", "--deprecate", "--file", file)
    assert "is pending_approval and cannot become deprecated; from there it can become approved" in error.problem
    own = json.loads(schemas.filters_path().read_text())
    file.write_text(json.dumps(own))
    entry = ask("disable", "car-created-filter", "--deprecate", "--file", file)["filter"]
    assert (entry["enabled"], entry["status"]) == (False, "deprecated")


def test_backups_are_listed_and_gone_back_to_without_a_cluster(file: Path, archives: None) -> None:
    """A backup of the present file comes first (FL-75, FL-76)."""
    assert run("backups", "--file", file) == "There are no backups.\n"
    original = json.loads(file.read_text())
    run("approve", "big-loans", "--by", "Ada", "--file", file)
    changed = json.loads(file.read_text())
    folder = file.parent / "state" / "flink" / "filters" / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "filters-20261121T100000.000000Z.json").write_text(json.dumps(original))
    done = ask("rollback", "filters-20261121T100000.000000Z.json", "--no-deploy", "--file", file)
    assert (done["kind"], done["deployment"]) == ("backup", None)
    assert json.loads(file.read_text()) == original
    (newest, oldest) = ask("backups", "--file", file)
    assert oldest["made"] == "2026-11-21T10:00:00.000Z"
    assert newest["name"] == done["backup"]
    assert json.loads(Path(newest["path"]).read_text()) == changed


@pytest.mark.parametrize("command", ["diff", "deploy", "rollback", "cleanup"])
def test_what_needs_a_cluster_says_so_and_changes_nothing(file: Path, archives: None, command: str) -> None:
    """Its address, and what to do (FL-74)."""
    before = file.read_bytes()
    error = refused(command, "--file", file)
    assert "no answer from Flink at http://127.0.0.1:9" in error.problem
    assert "headwater up" in error.remedy
    assert file.read_bytes() == before


def test_the_file_is_the_one_named_else_the_variables_else_the_stacks_own(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look, the shipped one will do; to write, the stack gets its copy, which the keeper of the job reads."""
    own = tmp_path / "state" / "filters.json"
    assert ask("validate")["file"] == str(schemas.filters_path())
    assert not own.parent.exists()
    assert ask("approve", "car-created-filter", "--by", "Ada")["file"] == str(own)
    assert own.read_bytes() == schemas.filters_path().read_bytes()
    assert ask("validate")["file"] == str(own)
    monkeypatch.setenv("FILTERS_FILE", str(file))
    assert ask("validate")["file"] == str(file)
    assert ask("validate", "--file", own)["file"] == str(own)


def test_the_keeper_of_the_job_reads_the_file_of_the_stack(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`FILTERS_FILE` when the stack was started, also if it was relative; else the copy in the state folder."""

    def kept() -> str:
        stack = LocalStack(StackSettings())
        stack._prepare[JOB_KEEPER]()
        return stack.services()[JOB_KEEPER].environment["FILTERS_FILE"]

    assert kept() == str(tmp_path / "state" / "filters.json")
    assert Path(kept()).read_bytes() == schemas.filters_path().read_bytes()
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("FILTERS_FILE", file.name)
    assert kept() == str(file)
    stack = LocalStack(StackSettings())
    stack.state.create()
    stack.state.save(stack.settings)
    assert stack.state.load() == stack.settings.model_copy(update={"state_dir": stack.state.root})
    monkeypatch.setenv("FILTERS_FILE", "not-there.json")
    with pytest.raises(StackError, match="There is no filter file"):
        kept()


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere else in the environment."""
    monkeypatch.setenv("FILTERS_FILE", "")
    assert StackSettings().filters_file is None
