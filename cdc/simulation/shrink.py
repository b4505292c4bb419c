"""Owns the shrinking of a failing schedule: fewer and smaller choices that still make it fail.

It needs to know nothing of what the choices mean: a choice left out or made smaller is a world that is shorter or
kinder, see `cdc.simulation.fate`.
"""

from collections.abc import Callable, Sequence
from typing import Final

_MOST_TRIES: Final = 15_000
_SIZES: Final = (1, 2, 3, 4, 6)

Choices = list[int]


def shrink(choices: Sequence[int], fails: Callable[[Choices], bool]) -> Choices:
    """Return choices that still fail, and of which no single one can be left out, unless the tries run out.

    Args:
        choices: Of a failing schedule.
        fails: Runs the schedule that some choices make; says whether it fails.
    """
    search = _Search(list(choices), fails)
    while search.leave_out() | search.lower() or search.lower_and_leave_out():
        pass
    return search.best


class _Search:
    def __init__(self, best: Choices, fails: Callable[[Choices], bool]) -> None:
        self.best = best
        self._fails = fails
        self._tries = 0

    def leave_out(self) -> bool:
        """Leave out runs of choices, shorter and shorter ones, from the end; return whether it helped."""
        before = len(self.best)
        size = before
        while size:
            start = len(self.best) - size
            while start >= 0:
                # After a success the same place is tried again: it holds other choices now.
                if not self._try([*self.best[:start], *self.best[start + size :]]) or start + size > len(self.best):
                    start -= size
            size //= 2
        return len(self.best) < before

    def lower(self) -> bool:
        """Make each choice 0, or else one less as often as that fails; return whether it helped."""
        before = self.best
        for index in range(len(self.best)):
            if self.best[index] and not self._set(index, 0):
                while self.best[index] > 1 and self._set(index, self.best[index] - 1):
                    pass
        return self.best != before

    def lower_and_leave_out(self) -> bool:
        """Find one choice to lower together with a few to leave out that only it had called for; say whether it did."""
        for index, choice in enumerate(self.best):
            if choice:
                head, rest = [*self.best[:index], choice - 1], self.best[index + 1 :]
                for size in _SIZES:
                    for start in range(len(rest) - size + 1):
                        if self._try([*head, *rest[:start], *rest[start + size :]]):
                            return True
        return False

    def _set(self, index: int, choice: int) -> bool:
        return self._try([*self.best[:index], choice, *self.best[index + 1 :]])

    def _try(self, candidate: Choices) -> bool:
        self._tries += 1
        if self._tries > _MOST_TRIES or not self._fails(candidate):
            return False
        self.best = candidate
        return True
