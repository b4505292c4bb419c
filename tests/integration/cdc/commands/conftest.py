"""What the tests of `headwater cdc …` share: running it against the test's installation."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def headwater_cdc(database, topic, slot, tmp_path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run `headwater cdc … --json`; gives exit code and document, or what it said on standard error."""

    def run(*arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        given = {
            "DATABASE_URL": database.url,
            "KAFKA_BOOTSTRAP_SERVERS": topic.bootstrap,
            "CDC_TOPIC": topic.name,
            "SLOT_NAME": slot,
            "HEADWATER_STATE_DIR": str(tmp_path / "none"),
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-m", "stack", "cdc", *arguments, "--json"],
            env={**os.environ, **given},
            cwd=Path(__file__).resolve().parents[4],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}

    return run
