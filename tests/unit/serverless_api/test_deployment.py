"""What is sent to AWS: the deployment description and the package."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from functions.serverless_api.handler import handler as api_handler
from functions.serverless_api.init_db import handler as init_handler
from functions.serverless_api.scripts import deploy
from functions.serverless_api.settings import ApiSettings
from stack.functions_catalogue import find
from stack.packaging import ROOT

DESCRIPTION = ROOT / "functions" / "serverless_api" / "serverless.yml"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's tags as their text."""


_Loader.add_constructor("!Sub", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture(scope="module")
def described() -> Any:
    """The deployment description."""
    return yaml.load(DESCRIPTION.read_text(), _Loader)  # noqa: S506 - a safe loader


def test_the_provider_is_as_the_specification_says(described: Any) -> None:
    """AWS, us-east-1, stage dev, Python 3.11, at least 512 MB, 30 s (LC-156, LC-161)."""
    provider = described["provider"]
    assert (provider["name"], provider["region"], provider["runtime"]) == ("aws", "us-east-1", "python3.11")
    assert provider["stage"] == "${opt:stage, 'dev'}"
    assert (provider["memorySize"] >= 512, provider["timeout"]) == (True, 30)


def test_the_network_is_two_private_subnets_and_a_group_of_its_own(described: Any) -> None:
    """Named by the environment (LC-156, LC-161)."""
    assert described["provider"]["vpc"] == {
        "securityGroupIds": ["${env:LAMBDA_SECURITY_GROUP_ID}"],
        "subnetIds": ["${env:PRIVATE_SUBNET_1A}", "${env:PRIVATE_SUBNET_1B}"],
    }


def test_the_database_is_given_by_the_environment_and_no_value_is_written_down(described: Any) -> None:
    """Each variable is one that the settings read, and its value is the caller's (LC-151, LC-161)."""
    given = described["provider"]["environment"]
    for name in ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD", "DB_SECRET_NAME", "USE_SECRETS_MANAGER"):
        assert given[name].startswith(f"${{env:{name}, ")
    assert {name.lower() for name in given} - set(ApiSettings.model_fields) == {"db_ssl_root_cert"}


def test_the_handlers_that_are_named_are_there(described: Any) -> None:
    """The API behind every path, and the one that prepares the database (LC-156, LC-162)."""
    functions = described["functions"]
    named = {"api": api_handler, "initDatabase": init_handler}
    for name, handler in named.items():
        assert functions[name]["handler"] == f"{handler.__module__}.{handler.__name__}"
    assert functions["api"]["events"] == [{"httpApi": "*"}]


def test_the_package_that_is_deployed_is_the_one_that_is_built(described: Any) -> None:
    """`headwater package` writes what the description names, scripts left out, and certificates in (LC-159, LC-164)."""
    line = deploy.packing(Path("/bundle.pem"))
    folder = line[line.index("--out") + 1]
    artifact = (DESCRIPTION.parent / described["package"]["artifact"]).resolve()
    assert artifact == ROOT / folder / f"{find('serverless-api').name}.zip"
    assert line[-2:] == ["--certificates", "/bundle.pem"]


@pytest.mark.parametrize(
    ("action", "words"), [("deploy", ["deploy"]), ("logs", ["logs", "--function", "api", "--tail"])]
)
def test_one_command_deploys_and_one_shows_logs(action: str, words: list[str]) -> None:
    """Both are the framework's, at one version (LC-161)."""
    line = deploy.command("npx", action, "dev")
    assert line == ["npx", "--yes", "serverless@3.40.0", *words, "--stage", "dev"]


def test_nothing_is_deployed_while_a_variable_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The network's first, then the database's; no process is started (LC-161, LC-164)."""
    npx = tmp_path / "npx"
    npx.write_text("#!/bin/sh\ntouch started\n")
    npx.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("LAMBDA_SECURITY_GROUP_ID", "PRIVATE_SUBNET_1A", *(each.upper() for each in ApiSettings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PRIVATE_SUBNET_1B", "subnet-b")
    assert deploy.main(["deploy"]) == 2
    assert "set LAMBDA_SECURITY_GROUP_ID, PRIVATE_SUBNET_1A" in capsys.readouterr().err
    monkeypatch.setenv("LAMBDA_SECURITY_GROUP_ID", "sg")
    monkeypatch.setenv("PRIVATE_SUBNET_1A", "subnet-a")
    assert deploy.main(["deploy"]) == 2
    assert "set DB_HOST, DB_NAME, DB_USER, DB_PASSWORD" in capsys.readouterr().err
    monkeypatch.setenv("USE_LOCAL_DB", "true")
    assert deploy.main(["deploy"]) == 2
    assert "unset USE_LOCAL_DB" in capsys.readouterr().err
    assert not list(DESCRIPTION.parent.glob("started"))


def test_importing_the_handler_outside_lambda_reads_no_setting() -> None:
    """And in Lambda a missing variable stops the start, with its name (LC-151, LC-155)."""
    program = "import functions.serverless_api.handler"
    bare = {"PATH": "", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=bare, check=True)
    started = subprocess.run(
        [sys.executable, "-c", program],
        env={**bare, "AWS_LAMBDA_FUNCTION_NAME": "api"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0
    assert "set DB_HOST, DB_NAME, DB_USER, DB_PASSWORD" in started.stderr
