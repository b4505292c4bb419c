"""Owns what a walk through a system is: steps one after the other, each with what it saw; the first failure ends it.

Must never know a system; each has a module of its own beside this one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, what came of it, and how long it took."""

    name: str
    ok: bool
    saw: str
    milliseconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {"name": self.name, "ok": self.ok, "saw": self.saw, "ms": round(self.milliseconds, 1)}


class WalkError(Exception):
    """Something is not as it should be; the text says what was seen instead."""


def expect(true: object, saw: str) -> None:
    """Go on when it is true.

    Raises:
        WalkError: It is not.
    """
    if not true:
        raise WalkError(saw)


def wait_until(true: Callable[[], object], otherwise: str, seconds: float) -> None:
    """Go on once it is true, asked five times a second.

    Raises:
        WalkError: It is not in this time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise WalkError(otherwise)
        time.sleep(_PAUSE_SECONDS)


@dataclass(slots=True)
class Saw:
    """What a step has to say; the step sets it."""

    text: str = ""


@dataclass(slots=True)
class Walk:
    """The steps through one system."""

    name: str
    console: Console
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether there were steps, and none failed."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    @contextmanager
    def step(self, name: str) -> Iterator[Saw]:
        """Do one step: time it, and print it with what it saw."""
        saw = Saw()
        began = time.perf_counter()
        try:
            yield saw
        except Exception as error:
            reason = str(error) if isinstance(error, WalkError) else f"{type(error).__name__}: {error}"
            self._done(name, reason, began, ok=False)
            raise
        self._done(name, saw.text, began, ok=True)

    def _done(self, name: str, saw: str, began: float, *, ok: bool) -> None:
        step = Step(name, ok, saw, (time.perf_counter() - began) * 1000)
        self.steps.append(step)
        mark = "[green]✓[/]" if ok else "[red]✗[/]"
        line = f"  {mark} {escape(name)}  [dim]{escape(saw)}  {step.milliseconds:,.0f} ms[/]"
        self.console.print(line, soft_wrap=True)

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return {"name": self.name, "ok": self.ok, "steps": [step.as_dict() for step in self.steps]}


def go(name: str, console: Console, steps: Callable[[Walk], None]) -> Walk:
    """Walk through one system; a step that fails ends this walk and no other."""
    walk = Walk(name, console)
    console.print(f"\n[bold]{escape(name)}[/]")
    try:
        steps(walk)
    except Exception:
        if walk.ok or not walk.steps:
            raise
    return walk
