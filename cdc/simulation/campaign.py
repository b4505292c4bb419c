"""Owns the running of many schedules: what they add up to, and the seeds that failed."""

from collections.abc import Iterable
from dataclasses import dataclass

from cdc.simulation.schedule import run_schedule


@dataclass(frozen=True, slots=True)
class Tally:
    """What some schedules have shown together."""

    schedules: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    failures: int = 0
    """Schedules in which the engine stopped, or never came to the end."""
    seeds: tuple[int, ...] = ()
    """The seeds of schedules that broke a promise."""

    @property
    def good(self) -> bool:
        """Whether every schedule kept every promise."""
        return not self.seeds

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.schedules + other.schedules,
            self.lost + other.lost,
            self.duplicates + other.duplicates,
            self.reordered + other.reordered,
            self.failures + other.failures,
            self.seeds + other.seeds,
        )


def run_seeds(seeds: Iterable[int]) -> Tally:
    """Run the schedule of each seed, up to and with the first that breaks a promise."""
    schedules = 0
    for seed in seeds:
        schedules += 1
        verdict = run_schedule(seed).verdict
        if not verdict.good:
            return Tally(
                schedules,
                verdict.lost,
                verdict.duplicates,
                verdict.reordered,
                int(verdict.failure is not None),
                (seed,),
            )
    return Tally(schedules)
