"""Owns the choice of free ports, for stacks that must not meet the user's own: measurements and tests."""

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stack.settings import HOST, StackSettings


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def own_settings(state_dir: Path) -> StackSettings:
    """Return the settings of a stack in this folder, every service on a free port."""
    names = [name for name in StackSettings.model_fields if name.endswith("_port")]
    ports: dict[str, Any] = dict(zip(names, free_ports(len(names)), strict=True))
    return StackSettings(state_dir=state_dir, **ports)
