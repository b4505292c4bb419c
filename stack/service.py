"""Owns what a service is to the stack: a command line, its environment, and a question that tells whether it is ready.

Must never start anything; `supervision` does that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Probe = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Service:
    """Describe one supervised process.

    Attributes:
        name: Its name in `status`, in `logs` and in the supervisor.
        command: The program and its arguments.
        ready: Return True once the service can be used; raise nothing.
        environment: Added to the environment of the supervisor.
        user: The system account that runs it; None is the one that started the stack.
        stop_signal: The signal of an orderly stop.
        stop_seconds: How long an orderly stop may take before it is killed.
        directory: The working directory.
        endpoint: Where users reach it; empty when they do not.
        class_data: Where a Java service keeps its parsed classes between starts.
    """

    name: str
    command: tuple[str, ...]
    ready: Probe
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 8
    directory: Path | None = None
    endpoint: str = ""
    class_data: Path | None = None
