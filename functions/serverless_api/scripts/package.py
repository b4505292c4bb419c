"""Build the deployment package: `python -m functions.serverless_api.scripts.package`.

Owns what goes into it: the API, what it is built on, their dependencies, and neither scripts nor tests (LC-159).
The runtime has boto3 itself. The same sources give the same bytes.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
_SOURCES: Final = ("database", "schemas", "functions/__init__.py", "functions/serverless_api")
_LEFT_OUT: Final = {"scripts", "tests", "__pycache__"}
_EXTRA: Final = "serverless-api"
_PLATFORM: Final = ("--python-platform", "x86_64-manylinux2014", "--python-version", "3.11")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def unpacked(folder: Path, *, certificates: Path | None = None, dependencies: bool = True) -> None:
    """Put the package's files into an empty folder.

    Args:
        folder: Where to.
        certificates: Authorities by which the database is verified: Amazon's for RDS, or its roots for RDS Proxy.
        dependencies: Whether to add those too, which takes a resolver and perhaps the network.

    Raises:
        subprocess.CalledProcessError: The dependencies cannot be had.
    """
    if dependencies:
        _install(folder)
    for name in _SOURCES:
        for source in sorted(ROOT.glob(f"{name}/**/*.py" if (ROOT / name).is_dir() else name)):
            target = source.relative_to(ROOT)
            if not _LEFT_OUT & set(target.parts):
                (folder / target.parent).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / target)
    if certificates is not None:
        shutil.copyfile(certificates, folder / "rds-ca.pem")


def build(archive: Path, *, certificates: Path | None = None, dependencies: bool = True) -> int:
    """Write the package; return its size in bytes. See `unpacked`."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        unpacked(folder, certificates=certificates, dependencies=dependencies)
        archive.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as written:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                written.writestr(entry, file.read_bytes())
    return archive.stat().st_size


def requirements() -> list[str]:
    """Return the pinned direct dependencies of the API, without boto3."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"][_EXTRA]]
    return [each for each in named if not each.startswith("headwater[")]


def _install(folder: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        message = "uv is not on the path: install it, it resolves the package's dependencies"
        raise FileNotFoundError(message)
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    with tempfile.TemporaryDirectory() as made:
        wanted, pins = Path(made, "requirements.txt"), Path(made, "constraints.txt")
        wanted.write_text("\n".join(requirements()))
        pins.write_text("\n".join(tool["constraint-dependencies"]))
        command = [uv, "pip", "install", "--quiet", "--only-binary", ":all:", *_PLATFORM, "--link-mode", "copy"]
        subprocess.run([*command, "--target", str(folder), "-r", str(wanted), "-c", str(pins)], check=True)
    for left in [*folder.rglob("__pycache__"), folder / "bin"]:
        shutil.rmtree(left, ignore_errors=True)
    # The installer's own files say when and whence, which no two machines agree on.
    for record in folder.rglob("*.dist-info/*"):
        if re.fullmatch(r"RECORD|INSTALLER|REQUESTED|direct_url\.json|uv_cache\.json", record.name):
            record.unlink()
    (folder / ".lock").unlink(missing_ok=True)


def main() -> int:
    """Build; return the exit code."""
    parser = argparse.ArgumentParser(prog="package", description="Build the deployment package of the serverless API.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "serverless-api.zip")
    parser.add_argument("--certificates", type=Path, help="certificate authorities of the database")
    given = parser.parse_args()
    size = build(given.output, certificates=given.certificates)
    sys.stdout.write(f"{given.output}: {size / 1_000_000:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
