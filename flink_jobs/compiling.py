"""Owns the process that compiles a plan: its JVM and its memory end with it. Must never import PyFlink."""

import subprocess
import sys
from pathlib import Path
from threading import Event

from flink_jobs.plan import Blueprint, PlanError


class StoppedError(Exception):
    """Say that the caller was told to stop."""


def compile_blueprint(wanted: Blueprint, folder: Path, stop: Event) -> None:
    """Compile into a plan folder, in a process of its own whose JVM and memory end with it.

    Raises:
        PlanError: Flink refuses the job.
        StoppedError: `stop` was set meanwhile.
    """
    command = [sys.executable, "-m", "flink_jobs.job", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        given: bytes | None = wanted.to_json().encode()
        try:
            while True:
                try:
                    told, noise = process.communicate(given, timeout=0.1)
                    break
                except subprocess.TimeoutExpired:
                    given = None
                    if stop.is_set():
                        raise StoppedError from None
        finally:
            process.kill()
    if process.returncode:
        # Its own words, or else the end of what it and its JVM wrote when they broke.
        reason = told.decode(errors="replace").strip() or noise.decode(errors="replace").strip()[-2000:]
        raise PlanError(reason or f"planning ended with status {process.returncode}")
