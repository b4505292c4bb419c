"""Owns the shrinking of a failing schedule: fewer and smaller choices that still make it fail.

It needs to know nothing of what the choices mean: a choice left out or made smaller is a world that is shorter or
kinder, see `cdc.simulation.fate`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

_MOST_TRIES: Final = 4000

Choices = list[int]


def shrink(choices: Sequence[int], fails: Callable[[Choices], bool]) -> Choices:
    """Return choices that still fail, and of which no single one can be left out, unless the tries run out.

    Args:
        choices: Of a failing schedule.
        fails: Runs the schedule that some choices make; says whether it fails.
    """
    best = list(choices)
    tries = 0
    improved = True
    while improved:
        improved = False
        for candidate in _smaller(best):
            tries += 1
            if tries > _MOST_TRIES:
                return best
            if fails(candidate):
                best, improved = candidate, True
                break
    return best


def _smaller(choices: Choices) -> Iterator[Choices]:
    """Yield ever less radical ways to make the choices fewer or smaller."""
    size = len(choices)
    while size:
        for start in range(len(choices) - size, -1, -size):
            yield choices[:start] + choices[start + size :]
        size //= 2
    for index, choice in enumerate(choices):
        if choice:
            yield [*choices[:index], 0, *choices[index + 1 :]]
        if choice > 1:
            yield [*choices[:index], choice - 1, *choices[index + 1 :]]
