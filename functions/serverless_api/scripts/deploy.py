"""Deploy the API, or show its logs: `python -m functions.serverless_api.scripts.deploy [deploy|logs]`.

Owns that nothing is sent to AWS while a variable is missing (LC-161). Exit codes: those of the Serverless Framework, 2
when something is missing.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from functions.serverless_api.scripts import wrong_settings
from functions.serverless_api.settings import ApiSettings

_FRAMEWORK: Final = "serverless@3.40.0"
_NEEDED: Final = ("LAMBDA_SECURITY_GROUP_ID", "PRIVATE_SUBNET_1A", "PRIVATE_SUBNET_1B")
_ROOT: Final = Path(__file__).resolve().parents[3]
_HERE: Final = _ROOT / "functions" / "serverless_api"


def main(arguments: list[str] | None = None) -> int:
    """Deploy or show logs; return the exit code."""
    parser = argparse.ArgumentParser(prog="deploy", description="Deploy the serverless API, or show its logs.")
    parser.add_argument("action", nargs="?", choices=("deploy", "logs"), default="deploy")
    parser.add_argument("--stage", default="dev")
    parser.add_argument("--certificates", type=Path, help="certificate authorities of the database")
    given = parser.parse_args(arguments)
    npx = shutil.which("npx")
    if npx is None:
        sys.stderr.write("npx is not on the path: install Node.js, which the Serverless Framework runs on\n")
        return 2
    if missing := missing_variables(os.environ):
        sys.stderr.write(f"set {', '.join(missing)}: the functions run in that network\n")
        return 2
    if given.action == "deploy":
        try:
            settings = ApiSettings()
        except ValidationError as error:
            return wrong_settings(error)
        if settings.use_local_db or given.certificates is None:
            sys.stderr.write("give --certificates, and unset USE_LOCAL_DB: the functions verify the database's TLS\n")
            return 2
        packed = subprocess.run(packing(given.certificates.absolute()), cwd=_ROOT, check=False)
        if packed.returncode:
            return packed.returncode
    return subprocess.run(command(npx, given.action, given.stage), cwd=_HERE, check=False).returncode


def missing_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the variables of the network that are not set."""
    return [name for name in _NEEDED if not environment.get(name)]


def packing(certificates: Path) -> list[str]:
    """Return the command line that builds the package which serverless.yml names."""
    headwater = [sys.executable, "-m", "stack", "package", "serverless-api"]
    return [*headwater, "--out", "dist/lambda", "--certificates", str(certificates)]


def command(npx: str, action: str, stage: str) -> list[str]:
    """Return the command line of the Serverless Framework."""
    last = ["logs", "--function", "api", "--tail"] if action == "logs" else ["deploy"]
    return [npx, "--yes", _FRAMEWORK, *last, "--stage", stage]


if __name__ == "__main__":
    sys.exit(main())
