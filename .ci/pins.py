"""Keep the pins of the transitive dependencies in pyproject.toml fresh.

`uv.lock` names registry hosts, which this repository does not; so every version that a resolution chose stands in
`[tool.uv] constraint-dependencies` instead, and two machines install the same.

    uv run .ci/pins.py            rewrite the list from a new resolution of the direct dependencies
    uv run .ci/pins.py --check    fail when the list is not what a resolution gives
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import tomlkit
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def resolve(text: str) -> list[str]:
    """Resolve a project file in an empty folder and return every package that it needs as `name==version`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(text)
        for package in tomlkit.parse(text)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
            Path(folder, package).mkdir()
        Path(folder, "README.md").touch()
        Path(folder, "LICENSE").touch()
        command = ["uv", "export", "--quiet", "--all-extras", "--all-groups", "--no-hashes", "--no-emit-project"]
        done = subprocess.run(
            [*command, "--no-annotate", "--no-header"], cwd=folder, check=True, capture_output=True, text=True
        )
    pins: dict[str, list[Requirement]] = defaultdict(list)
    for line in filter(None, map(str.strip, done.stdout.splitlines())):
        pins[Requirement(line).name].append(Requirement(line))
    # A marker only matters where a package has another version on another platform or Python.
    return sorted(
        str(pin) if len(versions) > 1 else f"{pin.name}{pin.specifier}"
        for versions in pins.values()
        for pin in versions
    )


def main() -> int:
    """Rewrite the list, or check it; return the exit code."""
    document = tomlkit.parse(PROJECT.read_text())
    present = [str(pin) for pin in document["tool"]["uv"]["constraint-dependencies"]]
    checking = sys.argv[1:] == ["--check"]
    if not checking:
        document["tool"]["uv"]["constraint-dependencies"] = []
    fresh = resolve(tomlkit.dumps(document))
    if checking:
        if fresh == present:
            return 0
        print("constraint-dependencies in pyproject.toml are not fresh; run `uv run .ci/pins.py`:")
        print("\n".join(f"  - {pin}" for pin in present if pin not in fresh))
        print("\n".join(f"  + {pin}" for pin in fresh if pin not in present))
        return 1
    document["tool"]["uv"]["constraint-dependencies"] = tomlkit.array(json.dumps(fresh)).multiline(multiline=True)
    PROJECT.write_text(tomlkit.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
