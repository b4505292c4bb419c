"""So many generated filters or records by a number; each is made in a process of its own.

Hypothesis draws constants of the modules that are loaded, too: within a run of all tests a number would give other
values than by itself, and what failed could not be repeated.
"""

import pickle
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from flink_jobs.filters import Filter
from tests.integration.flink_jobs.generated import filters, records

_ROOT = Path(__file__).parents[3]


def sample_filters(count: int, number: int) -> list[Filter]:
    """Return so many different filters; equal numbers give equal ones."""
    made: list[Filter] = _apart("filters", count, number)
    return made


def sample_records(count: int, number: int) -> list[dict[str, Any]]:
    """Return so many different records; equal numbers give equal ones."""
    made: list[dict[str, Any]] = _apart("records", count, number)
    return made


def _apart(kind: str, count: int, number: int) -> Any:
    command = [sys.executable, "-m", "tests.integration.flink_jobs.samples", kind, str(count), str(number)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return pickle.loads(done.stdout)  # noqa: S301 - our own process wrote it


def _sample(strategy: st.SearchStrategy[Any], count: int, number: int) -> list[Any]:
    found: dict[str, Any] = {}

    @seed(number)
    @settings(
        # Hypothesis varies what it has made a few times over, so there must be more to choose from.
        max_examples=count * 5,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found[repr(value)] = value

    collect()
    return Random(number).sample(list(found.values()), count)


if __name__ == "__main__":
    kind, count, number = sys.argv[1:]
    strategy = {"filters": filters, "records": records}[kind]()
    sys.stdout.buffer.write(pickle.dumps(_sample(strategy, int(count), int(number))))
