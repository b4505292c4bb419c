"""The configuration, and what a function is called."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stack.lambdas.faults import ApiError
from stack.lambdas.process import environment
from stack.lambdas.registry import Configuration


def configuration(**function: Any) -> Configuration:
    """Return a configuration with one function."""
    return Configuration.model_validate({"functions": {"todo_list-1": {"handler": "app.handler", **function}}})


@pytest.mark.parametrize(
    "reference",
    [
        "todo_list-1",
        "todo_list-1:$LATEST",
        "todo_list-1:7",
        "function:todo_list-1",
        "123456789012:function:todo_list-1:live",
        "arn:aws:lambda:eu-central-1:123456789012:function:todo_list-1",
        "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:todo_list-1:live",
        "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Atodo_list-1",
    ],
)
def test_every_form_of_a_name_finds_the_function(reference: str) -> None:
    """The forms that the API takes (LC-91, LC-98a)."""
    assert configuration().find(reference).name == "todo_list-1"


@pytest.mark.parametrize("reference", ["", "a b", "arn:aws:s3:::bucket", "todo_list-1:a:b", "x" * 300])
def test_what_is_no_name_is_a_wrong_parameter(reference: str) -> None:
    """400, as the API's own check answers."""
    with pytest.raises(ApiError) as raised:
        configuration().find(reference)
    assert (raised.value.status, raised.value.name) == (400, "InvalidParameterValueException")


def test_an_unknown_function_is_not_found() -> None:
    """404, with the ARN that was meant; before that, the qualifiers must agree."""
    with pytest.raises(ApiError) as raised:
        configuration().find("todo")
    assert (raised.value.status, raised.value.name) == (404, "ResourceNotFoundException")
    assert raised.value.body["Message"].endswith(":function:todo")
    with pytest.raises(ApiError, match="differ"):
        configuration().find("todo_list-1:a", "b")
    with pytest.raises(ApiError, match="neither a version nor an alias"):
        configuration().find("todo_list-1", "a b")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("handler", "app"),
        ("memory_mb", 64),
        ("timeout_seconds", 901),
        ("concurrency", 0),
        ("environment", {"AWS_LAMBDA_RUNTIME_API": "x"}),
        ("environment_from", ["HEADWATER_TEST_NO_SUCH_VARIABLE"]),
        ("code", "/no/such/folder"),
        ("memory", 128),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(setting: str, value: Any) -> None:
    """At the start, with the place."""
    with pytest.raises(ValidationError, match=setting if setting != "environment_from" else "set it for the service"):
        configuration(**{setting: value})


def test_a_name_that_aws_would_refuse_is_refused() -> None:
    """A function is called the same here and there."""
    with pytest.raises(ValidationError, match="up to 64 letters"):
        Configuration.model_validate({"functions": {"a b": {"handler": "app.handler"}}})


def test_code_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    """Wherever the service is started."""
    (tmp_path / "package").mkdir()
    file = tmp_path / "lambdas.toml"
    file.write_text('[functions.a]\nhandler = "app.handler"\ncode = "package"\n')
    function = Configuration.read(file).functions["a"]
    assert (function.code, function.name) == (tmp_path / "package", "a")


def test_a_configuration_shows_no_secret() -> None:
    """Neither its text nor its JSON."""
    shown = configuration(environment={"DATABASE_URL": "hidden"})
    assert "hidden" not in f"{shown!r}{shown}{shown.model_dump_json()}"


def test_the_runtimes_variables_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The function's own come second, then those handed on; the rest of the service's are left out."""
    monkeypatch.setenv("HANDED", "on")
    monkeypatch.setenv("BOTH", "service")
    monkeypatch.setenv("KEPT", "back")
    service = configuration(
        code=str(tmp_path),
        environment={"BOTH": "function", "AWS_REGION": "eu-west-1", "PYTHONPATH": "layer"},
        environment_from=["HANDED", "BOTH"],
    )
    variables = environment(service, service.functions["todo_list-1"], "127.0.0.1:1")
    assert (variables["HANDED"], variables["BOTH"], variables["AWS_REGION"]) == ("on", "function", "eu-west-1")
    assert variables["AWS_LAMBDA_RUNTIME_API"] == "127.0.0.1:1"
    assert variables["PYTHONPATH"] == f"{tmp_path}{os.pathsep}layer"
    assert "KEPT" not in variables


@pytest.mark.parametrize(
    ("apis", "told"),
    [
        ({"a": {"port": 9100, "function": "nothing"}}, "no function of this file"),
        ({"a": {"port": 9001, "function": "f"}}, "port 9001, which is taken"),
        ({"a": {"port": 9100, "function": "f"}, "b": {"port": 9100, "function": "f"}}, "port 9100, which is taken"),
        ({"a": {"port": 9100, "function": "f", "timeout_seconds": 31}}, "less than or equal to 30"),
    ],
)
def test_an_api_leads_from_a_port_of_its_own_to_a_function(apis: Any, told: str) -> None:
    """Whatever cannot be served is refused at the start (LC-162)."""
    with pytest.raises(ValidationError, match=told):
        Configuration.model_validate({"functions": {"f": {"handler": "app.handler"}}, "apis": apis})
