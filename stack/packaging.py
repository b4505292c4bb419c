"""Build the package of a Lambda function: a zip whose bytes depend on its contents alone.

Owns what goes in: the function's folders, `database`, `schemas`, and its dependencies in the pinned versions, for the
runtime's platform (LC-159). It works from the source tree: the pins stand in pyproject.toml, which no wheel carries.
Must never deploy.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stack.errors import StackError
from stack.functions_catalogue import LambdaFunction

ROOT: Final = Path(__file__).resolve().parent.parent

CERTIFICATES: Final = "rds-ca.pem"
"""Where a package has them, for `DB_SSL_ROOT_CERT=/var/task/rds-ca.pem`."""

_COMMON: Final = ("database", "schemas")
_LEFT_OUT: Final = frozenset({"scripts", "tests"})
_IN_RUNTIME: Final = frozenset({"boto3", "botocore", "s3transfer"})
_OF_INSTALLER: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""What an installer writes about its own work, in each `.dist-info`."""

_WHEELS: Final = {
    ("arm64", True): "aarch64-manylinux_2_28",
    ("x86_64", True): "x86_64-manylinux_2_28",
    ("x86_64", False): "x86_64-manylinux2014",
}
"""By architecture, and whether the system is Amazon Linux 2023 (glibc 2.34), as it is from Python 3.12 on, or its
predecessor (2.26), for which psycopg has no wheel for arm64
(https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html)."""

_LARGEST: Final = 250 * 2**20
"""Lambda's limit of an unpacked package."""

# A zip knows no earlier date.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o100644


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was built; sizes in bytes."""

    function: LambdaFunction
    file: Path
    size: int
    unpacked: int
    sha256: str


def build(
    function: LambdaFunction,
    folder: Path,
    *,
    with_boto3: bool = False,
    certificates: Path | None = None,
    source: Path = ROOT,
) -> Package:
    """Write `NAME.zip` into a folder and return what it is.

    Args:
        function: What to pack, for its version of Python and its architecture.
        folder: Made if it is not there; an older file of the name is replaced, but only by a whole one.
        with_boto3: Pack the pinned version, rather than use the one of the runtime.
        certificates: Authorities to verify a database by, such as Amazon's bundle for RDS; `rds-ca.pem` in the package.
        source: The root of a source tree.

    Raises:
        StackError: No source tree, no such certificates, no uv, a dependency that cannot be had for this platform, or a
            package too large.
    """
    project = _project(source)
    with tempfile.TemporaryDirectory(prefix="headwater-package-") as temporary:
        stage = Path(temporary, "stage")
        stage.mkdir()
        _install(function, project, stage, Path(temporary), with_boto3=with_boto3)
        _copy(function, source, stage)
        if certificates is not None:
            _place(_there(certificates), stage / CERTIFICATES)
        unpacked = sum(file.stat().st_size for file in _files(stage))
        if unpacked > _LARGEST:
            raise StackError(
                f"{function.name} has {unpacked:,} bytes unpacked, and Lambda takes {_LARGEST:,}.",
                "Take a dependency from its extra in pyproject.toml.",
            )
        made = Path(temporary, "made.zip")
        _zip(stage, made)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{function.name}.zip"
        partial = file.with_suffix(".partial")
        shutil.copyfile(made, partial)
        partial.replace(file)
    content = file.read_bytes()
    return Package(function, file, len(content), unpacked, hashlib.sha256(content).hexdigest())


def requirements(project: dict[str, Any], extra: str, *, with_boto3: bool) -> list[str]:
    """Return what an extra needs, other extras of the project followed, and what every part needs.

    Args:
        project: pyproject.toml.
        extra: Its name.
        with_boto3: Keep what the runtime has by itself.

    Raises:
        StackError: There is no such extra.
    """
    extras = project["project"]["optional-dependencies"]
    found = set(project["project"]["dependencies"])
    pending, seen = [extra], {extra}
    while pending:
        name = pending.pop()
        if name not in extras:
            raise StackError(f"pyproject.toml has no extra {name!r}.", "Name one in stack/functions_catalogue.py.")
        for line in extras[name]:
            own = re.fullmatch(rf"{project['project']['name']}\[([\w,-]+)\]", line)
            others = own[1].split(",") if own else []
            pending += [other for other in others if other not in seen]
            seen.update(others)
            if not own:
                found.add(line)
    return sorted(line for line in found if with_boto3 or _name(line) not in _IN_RUNTIME)


def _project(source: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((source / "pyproject.toml").read_text("utf-8"))
    except OSError as error:
        raise StackError(
            f"{source} is no source tree of Headwater.",
            "Run `headwater package` from a clone: the pinned versions stand in its pyproject.toml.",
        ) from error


def _install(
    function: LambdaFunction, project: dict[str, Any], stage: Path, temporary: Path, *, with_boto3: bool
) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise StackError("There is no uv.", "Install it: https://docs.astral.sh/uv/")
    modern = tuple(map(int, function.python.split("."))) >= (3, 12)
    wheels = _WHEELS.get((function.architecture, modern))
    if wheels is None:
        raise StackError(
            f"Python {function.python} on {function.architecture} has no wheels of psycopg.",
            "Take x86_64, or Python 3.12.",
        )
    wanted, pins = temporary / "requirements.txt", temporary / "constraints.txt"
    wanted.write_text("\n".join(requirements(project, function.extra, with_boto3=with_boto3)))
    pins.write_text("\n".join(project["tool"]["uv"]["constraint-dependencies"]))
    done = subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--python-platform", wheels, "--python-version", function.python),
            *("--only-binary", ":all:", "--target", str(stage), "--constraints", str(pins), "-r", str(wanted)),
        ],
        cwd=temporary,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(
            f"The dependencies of {function.name} cannot be had for {wheels}: {done.stderr.strip()[-2000:]}",
            "Check the package registry that uv uses, and that every dependency has a wheel for this platform.",
        )
    # Scripts begin with a path of this machine, and nothing in Lambda calls one.
    shutil.rmtree(stage / "bin", ignore_errors=True)
    (stage / ".lock").unlink(missing_ok=True)
    for record in stage.glob("*.dist-info/*"):
        if record.name in _OF_INSTALLER:
            record.unlink()


def _copy(function: LambdaFunction, source: Path, stage: Path) -> None:
    unwanted = {source / name for name in function.left_out}
    for name in (*function.code, *_COMMON):
        if not (source / name).exists():
            raise StackError(f"There is no {name} in {source}.", "Correct stack/functions_catalogue.py.")
        for file in _files(source / name) if (source / name).is_dir() else (source / name,):
            place = file.relative_to(source)
            # Only of our own: a dependency may have a module of such a name.
            left_out = any(part in _LEFT_OUT or part.startswith(".") for part in place.parts)
            if not left_out and unwanted.isdisjoint(file.parents):
                _place(file, stage / place)
        # A folder within a package needs the package.
        for parent in list(Path(name).parents)[:-1]:
            _place(source / parent / "__init__.py", stage / parent / "__init__.py")


def _there(certificates: Path) -> Path:
    if not certificates.is_file():
        raise StackError(f"There is no file {certificates}.", "Give Amazon's bundle of authorities for RDS.")
    return certificates


def _place(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, sorted by path, without what Python compiles from them."""
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _zip(folder: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in _files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _DATE)
            # As on Unix, wherever this runs, so that modes count.
            entry.create_system = 3
            entry.external_attr = _FILE_MODE << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""
