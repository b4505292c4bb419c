"""Owns chance and time of one schedule: every choice comes from here, so the choices alone replay and shrink it.

Every choice is a number below a bound, and 0 is always the world at its kindest: no crash, no delay, nothing lost. So
a schedule shrinks by leaving out choices and by making them smaller, and one that runs out of choices ends well.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, unique
from random import Random
from typing import Final

from cdc.errors import CdcError

_CALM_AFTER: Final = 600
_STALLED_AFTER: Final = 3000


class CrashError(Exception):
    """The process is gone, as by kill -9."""


class StalledError(Exception):
    """The engine makes no progress although the world has long been kind."""


@unique
class Ending(Enum):
    """How one life of the engine ends."""

    NONE = "lives on"
    CRASH = "killed"
    FAILURE = "its connection fails"
    STOP = "told to stop"


class Fate:
    """The choices of one schedule, its clock, and the step at which the present life of the engine ends."""

    __slots__ = (
        "_ending",
        "_given",
        "_left",
        "_random",
        "calm",
        "choices",
        "failed",
        "now",
        "steps",
        "stopping",
        "trace",
    )

    def __init__(self, source: int | Sequence[int], *, traced: bool = False) -> None:
        """Draw choices from a seed, or replay those given."""
        self._random: Callable[[], float] | None = None
        self._given: Iterator[int] = iter(())
        if isinstance(source, int):
            self._random = Random(source).random  # noqa: S311  # repeatable, not secret
        else:
            self._given = iter(source)
        self.choices: list[int] = []
        """What was chosen so far; a schedule given these is the same schedule."""
        self.now = 0.0
        """The time in seconds."""
        self.steps = 0
        self.calm = False
        self.trace: list[str] | None = [] if traced else None
        self._ending = Ending.NONE
        self._left = -1
        self.failed = False
        """Whether this life was ended by a failure of the world's making."""
        self.stopping = False

    def below(self, bound: int) -> int:
        """Choose one of 0 … bound - 1."""
        if self.calm or bound <= 1:
            return 0
        draw = self._random
        choice = int(draw() * bound) if draw is not None else min(next(self._given, 0), bound - 1)
        self.choices.append(choice)
        return choice

    def rarely(self, one_in: int) -> bool:
        """Say yes once in so many times."""
        return self.below(one_in) == one_in - 1

    def begin_life(self, ending: Ending, after: int) -> None:
        """Start a process that meets its end after so many more steps of the world."""
        self._ending = ending
        self._left = -1 if ending is Ending.NONE else after
        self.failed = self.stopping = False

    def step(self, failure: Callable[[], CdcError]) -> None:
        """Let one thing happen; `failure` is how it fails if this is where the connection does.

        Raises:
            CdcError: The failure.
            CrashError: The process is killed here.
            StalledError: There were too many steps.
        """
        self.steps += 1
        if self.steps > _CALM_AFTER:
            self.calm = True
            if self.steps > _STALLED_AFTER:
                raise StalledError
        if self._left < 0:
            return
        self._left -= 1
        if self._left >= 0:
            return
        if self.trace is not None:
            self.note(f"the engine is {self._ending.value}" if self._ending is not Ending.FAILURE else "it fails")
        if self._ending is Ending.STOP:
            self.stopping = True
        elif self._ending is Ending.CRASH:
            raise CrashError
        else:
            self.failed = True
            raise failure()

    def note(self, text: str) -> None:
        """Add a line to the trace, if one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now:8.2f}s  {text}")
