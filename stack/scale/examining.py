"""Owns the examination of a plan: what is simulated to show that it holds, and that less does not.

Four runs: at its rate, in bursts; at its peak, which is where the headroom ends; at the same with one unit less of the
bottleneck; and its rate again with one shard down for a while.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

from stack.scale.figures import Figures
from stack.scale.limits import Limit, Sizes, Workload, catch_up_seconds
from stack.scale.planner import Plan, one_less
from stack.scale.simulation import Outcome, Scenario, simulate

_MOST_SECONDS: Final = 120.0
"""A shard that needs longer to be level again is not waited for."""


@dataclass(frozen=True, slots=True)
class Course:
    """Say how the runs go: simulated seconds, bursts on the usual one, a shard's absence, the seed."""

    seconds: float = 6.0
    burst: float = 1.2
    down: float = 2.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Examination:
    """Hold a plan and what its runs have shown; `less` is None where no part can be smaller."""

    plan: Plan
    usual: Outcome
    peak: Outcome
    restart: Outcome
    less: tuple[Limit, Sizes, Outcome] | None

    @property
    def ok(self) -> bool:
        """Tell whether the plan holds at its rate and its peak, and one unit less does not."""
        return self.usual.sustainable and self.peak.sustainable and not (self.less and self.less[2].sustainable)


def examine(made: Plan, figures: Figures, course: Course) -> Examination:
    """Simulate a plan in all four ways."""
    steady = Scenario(seconds=course.seconds, even=True, seed=course.seed)
    at_peak = replace(made.workload, rate=made.peak)
    smaller = one_less(made, figures)
    return Examination(
        plan=made,
        usual=simulate(made.workload, made.sizes, figures, replace(steady, even=False, burst=course.burst)),
        peak=simulate(at_peak, made.sizes, figures, steady),
        restart=restart(made.workload, made.sizes, figures, made.limits, course),
        less=smaller and (*smaller, simulate(at_peak, smaller[1], figures, steady)),
    )


def restart(workload: Workload, sizes: Sizes, figures: Figures, found: tuple[Limit, ...], course: Course) -> Outcome:
    """Take one shard down and let it catch up, on a primary of its own.

    The other primaries have no part in it but for the load downstream, of which the one shard is little where there
    are many; so they are left out, and downstream stays as large.
    """
    wanted = catch_up_seconds(found, course.down)
    longest = wanted if isfinite(wanted) and wanted < _MOST_SECONDS else 0.0
    scenario = Scenario(
        seconds=max(course.seconds, course.down + 1.3 * longest + 1), even=True, down=course.down, seed=course.seed
    )
    alone = replace(workload, rate=workload.rate / sizes.primaries)
    return simulate(alone, replace(sizes, primaries=1), figures, scenario)
