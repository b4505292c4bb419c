"""Every numbered requirement of the functions is named by a test that shows it, or by a page that says why not."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[3]

_NAMED = re.compile(r"LC-(\d+a?)(?:(?: to |-)LC-(\d+))?")
_ROWS = (*range(50, 57), *range(60, 73), *range(80, 100), *range(100, 112), *range(120, 144), *range(150, 166))
REQUIREMENTS = {str(number) for number in (*_ROWS, *range(170, 174))} | {"98a"}


def _named(files: list[Path]) -> set[str]:
    found: set[str] = set()
    for file in files:
        for first, last in _NAMED.findall(file.read_text()):
            found |= {str(number) for number in range(int(first), int(last) + 1)} if last else {first}
    return found


def test_every_requirement_of_the_functions_is_shown_or_excused() -> None:
    """LC-50 to LC-173: a row that nobody names is one that nobody would miss."""
    tests = [file for file in (PROJECT / "tests").rglob("*.py") if file != Path(__file__)]
    missing = REQUIREMENTS - _named([*tests, *(PROJECT / "docs").glob("*.md")])
    assert sorted(missing) == []
