"""Owns the judgement of the WAL that the slot holds back: how fast it grows, how long it may, what to do at which mark.

Pure: fed with one reading after another. Who reads, logs and acts is `cdc.slots.guard`.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, IntEnum, unique
from typing import Final

_WINDOW_S: Final = 60.0
"""A slot lets go of WAL in jumps, every quarter of a minute on a busy server: the slope is that of a minute."""
_WARN: Final = 0.5
_UNREADY: Final = 0.75


@unique
class BudgetAction(Enum):
    """What the engine does when its slot has used up the budget."""

    WARN = "warn"
    """Say so, and nothing else."""
    STOP = "stop"
    """End the process, so that whoever watches it must act; the slot stays, and with it the WAL."""
    DROP_SLOT = "drop_slot"
    """Drop the slot: the database's disk is safe, and only a new snapshot makes the topic whole again."""


@unique
class Mark(IntEnum):
    """How much of the budget is used."""

    WITHIN = 0
    HALF = 1
    """A warning in the log."""
    SCARCE = 2
    """Three quarters: not ready."""
    SPENT = 3
    """All of it: the configured action."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the slot holds back at one moment."""

    retained_bytes: int
    slope: float = 0.0
    """Bytes a second over the last minute; negative while WAL is let go."""
    budget_bytes: int | None = None
    mark: Mark = Mark.WITHIN

    @property
    def seconds_left(self) -> float:
        """Until the budget is used up at the present slope; infinite without a budget or without growth."""
        if self.budget_bytes is None or self.slope <= 0:
            return math.inf
        return max(0.0, (self.budget_bytes - self.retained_bytes) / self.slope)

    @property
    def reason(self) -> str | None:
        """Why the engine is not ready, None if it is."""
        return self.text if self.mark >= Mark.SCARCE else None

    @property
    def text(self) -> str:
        """The state in words."""
        left = self.seconds_left
        share = 0 if not self.budget_bytes else round(100 * self.retained_bytes / self.budget_bytes)
        until = f"{left:.0f} s left at {self.slope:.0f} bytes/s" if left < math.inf else "not growing"
        return f"the slot holds back {self.retained_bytes} bytes of WAL, {share} % of the budget; {until}"


class WalBudget:
    """The last minute's readings against the budget."""

    def __init__(self, budget_bytes: int | None) -> None:
        """Begin without a reading; None is no budget."""
        self.budget_bytes = budget_bytes
        self._readings: deque[tuple[float, int]] = deque()

    def take(self, now: float, retained_bytes: int) -> Held:
        """Take a reading and judge."""
        readings = self._readings
        readings.append((now, retained_bytes))
        while now - readings[0][0] > _WINDOW_S:
            readings.popleft()
        (began, first), lasted = readings[0], now - readings[0][0]
        slope = (retained_bytes - first) / lasted if now > began else 0.0
        return Held(retained_bytes, slope, self.budget_bytes, self._mark(retained_bytes))

    def _mark(self, retained: int) -> Mark:
        budget = self.budget_bytes
        if budget is None or retained < _WARN * budget:
            return Mark.WITHIN
        if retained < _UNREADY * budget:
            return Mark.HALF
        return Mark.SCARCE if retained < budget else Mark.SPENT
