"""Owns the choice between the compiled modules and the plain code. Does nothing that the plain code does not do.

Compiled code answers with None to whatever is not ordinary, and the plain code then does it, so that a missing module
is one that always answers with None. `CDC_COMPILED=off` leaves them out, to compare and to search a fault.
"""

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cdc.pgoutput.messages import Begin, Commit, Delete, Insert, Keepalive, Update

if TYPE_CHECKING:
    from cdc.formats._flat import RowWriter

Data: TypeAlias = bytes | memoryview
Ordinary: TypeAlias = Begin | Commit | Insert | Update | Delete
"""What makes up nearly all of a stream."""


def _load(name: str) -> Any:
    if os.environ.get("CDC_COMPILED", "on").lower() == "off":
        return None
    try:
        return import_module(name)
    except ImportError:
        return None


_decoder: Final = _load("cdc.pgoutput._decoder")
_flat: Final = _load("cdc.formats._flat")

AVAILABLE: Final = _decoder is not None and _flat is not None
"""Whether this process runs compiled code."""


def _plainly(*_: object) -> None:
    """Stand in for a compiled function: leave it to the plain code."""


decode: Final[Callable[[Data, int], Ordinary | None]] = _plainly if _decoder is None else _decoder.decode
read_frame: Final[Callable[[Data], Ordinary | Keepalive | None]] = _plainly if _decoder is None else _decoder.read_frame
row_writer: "Final[type[RowWriter] | None]" = None if _flat is None else _flat.RowWriter
