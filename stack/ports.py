"""Owns the choice of free ports, for stacks that must not meet the user's own: measurements and tests."""

import fcntl
import os
import socket
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any, Final

from stack.settings import HOST, StackSettings

_RANGE: Final = (15_000, 32_000)
"""Below the ports that systems give to outgoing connections, which could take one before its service does."""

_reserved: list[int] = []
"""Open files whose locks keep other processes of ours off the ports that this one has chosen, until it ends."""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, all different, and that no other process which asks here is given."""
    folder = Path(tempfile.gettempdir()) / f"headwater-{os.geteuid()}" / "ports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = (port for port in range(*_RANGE) if _reserve(folder / str(port)) and _is_free(port))
    return list(islice(free, count))


def _reserve(file: Path) -> bool:
    """Lock the file of a port for as long as this process lives; return whether it was to be had."""
    handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return False
    _reserved.append(handle)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def own_settings(state_dir: Path) -> StackSettings:
    """Return the settings of a stack in this folder, every service on a free port, values in JSON."""
    names = [name for name in StackSettings.model_fields if name.endswith("_port")]
    ports: dict[str, Any] = dict(zip(names, free_ports(len(names)), strict=True))
    return StackSettings(state_dir=state_dir, value_format="json", registry_url="", **ports)
