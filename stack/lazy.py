"""Owns that a command loads its own modules only: `headwater status` needs neither the benches' nor moto's.

After «Lazily loading subcommands» of click's documentation.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "stack.demo_commands",
    "bench": "stack.bench_commands",
    "cdc": "stack.cdc_commands",
    "filters": "stack.filter_commands",
    "flink": "stack.flink_commands",
    "package": "stack.package_commands",
    "sim": "stack.sim_commands",
}
"""The module of each command or group of commands; its `app` is what is run."""


class LazyGroup(TyperGroup):
    """A group that has these commands beside its own, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order in which help shows them."""
        first, *others = COMMANDS
        return [first, *super().list_commands(ctx), *others]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None where there is none of this name; all are loaded then, to find what was meant."""
        known = cmd_name in COMMANDS or cmd_name in self.commands
        for name in [cmd_name] if known else COMMANDS:
            if name not in self.commands:
                command = typer.main.get_command(import_module(COMMANDS[name]).app)
                command.name = name
                self.add_command(command)
        return super().get_command(ctx, cmd_name)
