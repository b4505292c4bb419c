"""The rules of the house, checked."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("schemas", "database", "producer", "cdc", "flink_jobs", "consumers", "callbacks", "functions", "stack")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_imports_flow_one_way() -> None:
    """The contracts of import-linter in pyproject.toml hold."""
    program = "import sys; from importlinter.cli import lint_imports as lint; sys.exit(lint(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_says_what_it_owns(module: Path) -> None:
    """At most 300 lines, and a docstring first."""
    text = module.read_text()
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "a module starts with what it owns"


@pytest.mark.parametrize(
    "test", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_test_states_its_promise(test: Path) -> None:
    """Every test has a docstring, and none sleeps."""
    tree = ast.parse(test.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep", "asyncio.sleep"):
            pytest.fail(f"line {node.lineno} sleeps: wait for a condition, with a bound")


def test_no_registry_host_is_named() -> None:
    """Packages are named, hosts never: `uv.lock` is ignored, and nothing committed points at a mirror."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    hosts = ["files.pythonhosted" + ".org", "pypi" + ".org", "repo1.maven" + ".org", "repo.maven" + ".apache.org"]
    for file in files:
        if file.is_file() and file.suffix not in (".png", ".jar"):
            text = file.read_text(errors="ignore")
            assert not [host for host in hosts if host in text], f"{file} names a registry host"
    assert ROOT / "uv.lock" not in files
