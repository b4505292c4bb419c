"""Owns the two places where commands print, results and all else, and the options that several commands have."""

from typing import Annotated, Final

import typer
from rich.console import Console

from stack.settings import CdcEngine

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]

Engine = Annotated[CdcEngine | None, typer.Option("--cdc", help="Which engine carries the changes. [default: native]")]

console: Final = Console(stderr=True, highlight=False)
"""For progress, hints and errors."""

_PIPE_WIDTH: Final = 140


def page() -> Console:
    """Return standard output, wide enough that a table in a pipe is not cut."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)
