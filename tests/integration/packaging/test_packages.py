"""A package for this machine's platform: whole, reproducible, and run by the local Lambda service."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import schemas
from stack import package_commands
from stack.functions_catalogue import LambdaFunction, find
from stack.packaging import ROOT, Package, build
from tests.integration.lambdas.conftest import Service

NAME = "PostgresFunction"

_AARCH64 = 183

ALONE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from callbacks import postgres_function, lambda_to_postgres, setup, setup_function
import psycopg_binary
print(json.dumps(postgres_function.handler(json.load(sys.stdin), None)))
"""


def _here() -> LambdaFunction:
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    return replace(find(NAME), python=f"{sys.version_info.major}.{sys.version_info.minor}", architecture=machine)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of a small function for this machine."""
    return build(_here(), tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def unpacked(built: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(built.file) as archive:
        archive.extractall(folder)
    return folder


def _event() -> dict[str, Any]:
    return {"action": "validate_event", "data": schemas.samples()["car-created"]}


VALID = {"statusCode": 200, "body": {"valid": True, "errors": [], "version": "v1"}}


def test_the_unpacked_package_answers_under_the_runtime_client(unpacked: Path, tmp_path: Path) -> None:
    """The local Lambda service runs it from the folder, as Lambda would."""
    function = {"handler": find(NAME).handler, "code": str(unpacked), "timeout_seconds": 30, "memory_mb": 256}
    service = Service(tmp_path, {NAME: function})
    try:
        assert service.invoke(_event(), NAME)["value"] == VALID
    finally:
        service.close()


def test_the_package_needs_nothing_of_this_environment(unpacked: Path) -> None:
    """Every module of the callbacks loads with nothing but Python's library and the package on the path."""
    # -S keeps this environment's packages out, -I its variables. boto3 is loaded at the first use only.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, str(unpacked)],
        input=json.dumps(_event()),
        cwd=unpacked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == VALID


def test_the_bytes_depend_on_the_contents_alone(built: Package, tmp_path: Path) -> None:
    """A copy with other dates, and with scripts, tests and caches, gives the same bytes (LC-159)."""
    source = tmp_path / "source"
    for name in ("callbacks", "database", "schemas"):
        shutil.copytree(ROOT / name, source / name, copy_function=shutil.copyfile)
    shutil.copyfile(ROOT / "pyproject.toml", source / "pyproject.toml")
    for name in ("scripts/rebuild.py", "tests/test_it.py", "__pycache__/x.pyc", "bridge/bridge.py", ".env"):
        (source / "callbacks" / name).parent.mkdir(exist_ok=True)
        (source / "callbacks" / name).write_text("# not for AWS")
    (source / "callbacks" / "setup.py").chmod(0o600)
    again = build(_here(), tmp_path / "packages", source=source)
    assert again.sha256 == built.sha256
    assert again.file.read_bytes() == built.file.read_bytes()


def test_a_package_holds_its_own_code_and_nothing_more(built: Package) -> None:
    """The function's folders, database and schemas; no other stage, script, test or cache, and no boto3 (LC-159)."""
    with zipfile.ZipFile(built.file) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(names)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {oct(entry.external_attr >> 16) for entry in entries} == {"0o100644"}
    tops = {name.split("/")[0] for name in names}
    assert {"callbacks", "database", "schemas", "pydantic", "psycopg_binary", "jsonschema"} <= tops
    assert tops.isdisjoint(
        {"stack", "cdc", "producer", "functions", "tests", "bin", "boto3", "botocore", "confluent_kafka"}
    )
    assert "callbacks/sql/functions.sql" in names
    ours = [name.split("/") for name in names if name.split("/")[0] in ("callbacks", "database", "schemas")]
    unwanted = {"scripts", "tests", "__pycache__", "bridge", "extension"}
    assert not [parts for parts in ours if not unwanted.isdisjoint(parts)]


def test_dependencies_have_the_pinned_versions(unpacked: Path) -> None:
    """What is packed is what this environment was tested with."""
    here = {each.name.lower(): each.version for each in distributions()}
    packed = {each.name.lower(): each.version for each in distributions(path=[str(unpacked)])}
    assert len(packed) > 10
    assert packed == {name: here[name] for name in packed}


def test_native_parts_are_for_lambdas_processor_and_python(tmp_path: Path) -> None:
    """A package for arm64 and Python 3.12 holds shared libraries for just these."""
    function = find(NAME)
    assert (function.architecture, function.python) == ("arm64", "3.12")
    with zipfile.ZipFile(build(function, tmp_path).file) as archive:
        names = [name for name in archive.namelist() if ".so" in Path(name).suffixes]
        heads = [archive.read(name)[:20] for name in names]
    assert {name.split("/")[0] for name in names} >= {"psycopg_binary", "psycopg_binary.libs", "pydantic_core", "rpds"}
    # ELF, and the machine that e_machine names (https://man7.org/linux/man-pages/man5/elf.5.html).
    assert {(head[:4], int.from_bytes(head[18:20], "little")) for head in heads} == {(b"\x7fELF", _AARCH64)}
    assert all("cpython-312" in name for name in names if name.startswith(("psycopg_binary/", "pydantic_core", "rpds")))


def test_the_command_prints_what_to_deploy(built: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, size, sha256, handler, memory, timeout and variables, as text and as JSON."""
    given = replace(built, function=replace(built.function, required=("DB_SECRET_ARN",)))
    monkeypatch.setattr(package_commands, "build", lambda *_, **__: given)
    told = CliRunner().invoke(package_commands.app, [NAME, "--json"])
    (one,) = json.loads(told.stdout)["packages"]
    assert Path(one["file"]).stat().st_size == one["size"]
    assert hashlib.sha256(Path(one["file"]).read_bytes()).hexdigest() == one["sha256"]
    assert one["handler"] == "callbacks.postgres_function.handler"
    assert (one["memory_mb"], one["timeout_seconds"]) == (256, 10)
    assert one["environment"] == {"required": ["DB_SECRET_ARN"], "optional": []}
    words = CliRunner().invoke(package_commands.app, [NAME]).stdout
    for part in (one["file"], one["sha256"], one["handler"], "256 MB, 10 s", "DB_SECRET_ARN"):
        assert part in words
