"""Owns what is to be done about the shards: from the slots that there are to the next step. Pure.

The slots decide, never a file: whoever starts, after whatever crash, with whatever number of shards in mind, finds the
same next step. A change of the number goes

    old complete                     Align: the old shards deliver what committed before an LSN, confirm it and stop
    old complete, new in part        Copy: the new slots are made, each a copy that begins at that LSN
    old (in part), new complete      Drop: the old slots go
    new complete                     Run; or Settle, where the new one is the step back to the whole

and once begun it is finished, also by an engine that wants another number: that one changes it again afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cdc.errors import CdcError, DatabaseError, Kind
from cdc.lsn import Lsn, format_lsn
from cdc.shards.names import WHOLE, WHOLE_GENERATION, Generation, Part, generations

_TWO: Final = 2


@dataclass(frozen=True, slots=True)
class SlotSeen:
    """The slot of a part as the server shows it."""

    part: Part
    confirmed: Lsn | None
    pid: int | None = None
    """The walsender that reads it; None if nobody does."""


@dataclass(frozen=True, slots=True)
class Birth:
    """There is no slot: the whole is to be born, with its snapshot."""

    @property
    def words(self) -> str:
        """The step in words."""
        return "there is no slot: the whole is born, with its snapshot"


@dataclass(frozen=True, slots=True)
class Run:
    """Stream with this generation."""

    generation: Generation

    @property
    def words(self) -> str:
        """The step in words."""
        return f"{self.generation} streams"


@dataclass(frozen=True, slots=True)
class Align:
    """Let the old generation deliver up to one LSN, then make the first slots of the new one."""

    old: Generation
    new: Generation

    @property
    def words(self) -> str:
        """The step in words."""
        return f"{self.old} ends, {self.new} is to follow"


@dataclass(frozen=True, slots=True)
class Copy:
    """Make the slots of the new generation that are missing; those that are there begin at `at`."""

    old: Generation
    new: Generation
    missing: tuple[Part, ...]
    at: Lsn

    @property
    def words(self) -> str:
        """The step in words."""
        return f"slots of {self.new} are missing, to which {self.old} has handed over"


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop what is left of the old generation; the new one begins at `at`."""

    new: Generation
    left: tuple[Part, ...]
    at: Lsn

    @property
    def words(self) -> str:
        """The step in words."""
        return f"slots are left over that {self.new} has taken over from"


@dataclass(frozen=True, slots=True)
class Settle:
    """Make the whole of a generation of one, if it is not made yet, and drop that one."""

    last: Part
    made: bool
    at: Lsn

    @property
    def words(self) -> str:
        """The step in words."""
        return f"{self.last.generation} becomes the whole"


@dataclass(frozen=True, slots=True)
class Renew:
    """Drop these slots, of which nothing whole can be made, for a new birth."""

    left: tuple[Part, ...]

    @property
    def words(self) -> str:
        """The step in words."""
        return "slots are lost, the others are dropped for a new snapshot"


Step: TypeAlias = Birth | Run | Align | Copy | Drop | Settle | Renew


def plan(seen: Sequence[SlotSeen], shards: int, fits: Callable[[Generation], bool], *, renews: bool = False) -> Step:
    """Return the next step.

    Args:
        seen: Every slot of this engine, whichever generation it is of.
        shards: How many are wanted.
        fits: Says of a generation whether its publications are what the settings ask for.
        renews: Whether slots of which some are lost may be dropped for a new snapshot.

    Raises:
        CdcError: SHARDS; the slots are not what a change of the number leaves, whenever it is cut off.
    """
    found = generations(each.part for each in seen)
    if not found:
        return Birth()
    if unborn := [each.part for each in seen if each.confirmed is None]:
        raise DatabaseError(Kind.SLOT_ACTIVE, f"somebody is creating the slot of {_listed(unborn)}")
    try:
        if len(found) == 1:
            return _alone(found[0], seen, shards, fits)
        if len(found) == _TWO:
            return _between(*_ordered(*found), seen)
        raise _torn(f"there are slots of {', '.join(map(str, found))}")
    except CdcError:
        # Of slots that are lost or were moved nothing can be made any more but a new beginning.
        if renews:
            return Renew(tuple(each.part for each in seen))
        raise


def _alone(only: Generation, seen: Sequence[SlotSeen], shards: int, fits: Callable[[Generation], bool]) -> Step:
    if missing := _missing(only, seen):
        raise _torn(f"{only} has lost the slots of {_listed(missing)}")
    if only.returns:
        return Settle(only.parts[0], made=False, at=_begins(seen))
    if only.shards == shards and fits(only):
        return Run(only)
    return Align(only, only.successor(shards))


def _between(old: Generation, new: Generation, seen: Sequence[SlotSeen]) -> Step:
    olds = [each for each in seen if each.part.generation == old]
    news = [each for each in seen if each.part.generation == new]
    at = _begins(news)
    if beyond := [each for each in olds if each.confirmed is not None and each.confirmed > at]:
        furthest = max(each.confirmed or Lsn(0) for each in beyond)
        raise _torn(
            f"{new} begins at {format_lsn(at)}, but somebody else has moved {_listed([each.part for each in beyond])} "
            f"of {old} to {format_lsn(furthest)}"
        )
    if new == WHOLE_GENERATION:
        return Settle(old.parts[0], made=True, at=at)
    missing = _missing(new, seen)
    if not missing:
        return Drop(new, tuple(each.part for each in olds), at)
    if lost := _missing(old, seen):
        raise _torn(f"{new} lacks the slots of {_listed(missing)}, and {old} those of {_listed(lost)}")
    return Copy(old, new, missing, at)


def _ordered(first: Generation, second: Generation) -> tuple[Generation, Generation]:
    """Return the older and the newer of two generations; `first` has the lower number."""
    if first == WHOLE_GENERATION and second.returns:
        return second, first
    for old, new in ((first, second), (second, first)):
        if old.successor(new.shards) == new:
            return old, new
    raise _torn(f"there are slots of {first} and {second}, which do not follow each other")


def _begins(news: Sequence[SlotSeen]) -> Lsn:
    points = {each.confirmed for each in news}
    if len(points) > 1:
        shown = ", ".join(sorted(format_lsn(point or 0) for point in points))
        raise _torn(f"the slots of {news[0].part.generation}, which nobody has read yet, begin at {shown}")
    (point,) = points
    assert point is not None
    return point


def _missing(generation: Generation, seen: Sequence[SlotSeen]) -> tuple[Part, ...]:
    there = {each.part for each in seen}
    return tuple(part for part in generation.parts if part not in there)


def _listed(parts: Sequence[Part]) -> str:
    return ", ".join("the whole" if part == WHOLE else f"shard {part.label}" for part in parts)


def _torn(message: str) -> CdcError:
    return CdcError(Kind.SHARDS, message)
