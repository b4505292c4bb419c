"""The table of the Lambda functions agrees with the code, and with pyproject.toml."""

import tomllib
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.functions_catalogue import CATALOGUE, LambdaFunction, find
from stack.packaging import ROOT, build, requirements

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FUNCTIONS = pytest.mark.parametrize("function", CATALOGUE.values(), ids=CATALOGUE)


@FUNCTIONS
def test_the_handler_lies_in_the_functions_own_folders(function: LambdaFunction) -> None:
    """What a package holds is what Lambda is told to call (LC-159)."""
    module = Path(*function.handler.split(".")[:-1]).with_suffix(".py")
    assert any(Path(folder) in module.parents for folder in function.code)
    assert (ROOT / module).is_file()


@FUNCTIONS
def test_every_variable_is_one_that_the_code_reads(function: LambdaFunction) -> None:
    """No variable is told that nobody reads."""
    code = [path.read_text() for folder in (*function.code, "database") for path in (ROOT / folder).rglob("*.py")]
    unknown = [
        name
        for name in (*function.required, *function.optional)
        if not any(name in text or name.lower() in text for text in code)
    ]
    assert unknown == []


@FUNCTIONS
def test_requirements_are_pinned_and_leave_the_runtimes_boto3_alone(function: LambdaFunction) -> None:
    """Every requirement names one version, other extras are followed, boto3 is packed on demand only."""
    lean = requirements(PROJECT, function.extra, with_boto3=False)
    whole = requirements(PROJECT, function.extra, with_boto3=True)
    assert all("==" in line and "headwater" not in line for line in whole)
    assert any(line.startswith("pydantic==") for line in lean)
    more = ["boto3"] if function.extra != "producer" else []
    assert [line.split("==")[0] for line in whole if line not in lean] == more


def test_functions_have_the_sizes_of_their_documents() -> None:
    """Runtime, memory and time are those of the specification (LC-50, LC-110, LC-156)."""
    start, initializer, api = find("auto-start"), find("iam-initializer"), find("serverless-api")
    assert (start.python, start.memory_mb, start.timeout_seconds) == ("3.11", 128, 60)
    assert (initializer.python, initializer.architecture, initializer.timeout_seconds) == ("3.12", "arm64", 300)
    assert (api.python, api.timeout_seconds) == ("3.11", 30)
    assert api.memory_mb >= 512


def test_the_docs_list_every_function() -> None:
    """The table in docs/packaging.md is that of the catalogue."""
    rows = []
    for each in CATALOGUE.values():
        runtime = f"{each.python}, {each.architecture}"
        rows.append(f"| {each.name} | `{each.handler}` | {runtime} | {each.memory_mb} | {each.timeout_seconds} |")
    docs = (ROOT / "docs" / "packaging.md").read_text()
    assert [line for line in docs.splitlines() if line.startswith("| ") and "`" in line] == rows


def test_an_unknown_function_is_told_with_those_there_are() -> None:
    """The remedy lists the names."""
    with pytest.raises(StackError, match="Take one of producer, PostgresFunction"):
        find("postgres")


def test_a_package_is_made_from_a_source_tree_only(tmp_path: Path) -> None:
    """Without pyproject.toml there are no pins, and the error says so."""
    with pytest.raises(StackError, match="Run `headwater package` from a clone"):
        build(find("PostgresFunction"), tmp_path, source=tmp_path)
