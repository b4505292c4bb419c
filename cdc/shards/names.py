"""Owns the names of shards: of their slots, publications and sources. Pure: knows neither server nor settings.

A generation is one set of shards that share the rows among them by the hash of their keys. Generation 0 is the whole:
one slot and one publication with the names that the settings give. The slot of a shard says everything about it, such
as `<slot>_g3_1of4`: shard 1 (from 0) of the four of generation 3. So the slots are the only memory of what is in use.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

MOST_SHARDS: Final = 64
LAST_GENERATION: Final = 9999
"""Behind it the numbers begin again at 1: names must not grow, and what the first one wrote is long past."""
LONGEST_SUFFIX: Final = len(f"_g{LAST_GENERATION}_{MOST_SHARDS}of{MOST_SHARDS}")

_SUFFIX: Final = re.compile(r"_g([1-9][0-9]{0,3})_(0|[1-9][0-9]?)of([1-9][0-9]?)")
_SOURCE: Final = re.compile(rb"#([1-9][0-9]{0,3})\.(0|[1-9][0-9]?)of([1-9][0-9]?)$")


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """A set of shards: its number, 0 for the whole, and how many there are."""

    number: int
    shards: int

    @property
    def parts(self) -> tuple["Part", ...]:
        """The shards in their order."""
        return tuple(Part(self, index) for index in range(self.shards))

    @property
    def returns(self) -> bool:
        """Whether this is the step between shards and the whole: one slot that nobody ever reads."""
        return self.number > 0 and self.shards == 1

    def successor(self, shards: int) -> "Generation":
        """Return the generation that takes over from this one with so many shards.

        It never is the whole itself, whose name says nothing of which came first: that is reached through a generation
        of one, see `returns`.
        """
        return Generation(self.number % LAST_GENERATION + 1, shards)

    def __str__(self) -> str:
        return "the whole" if self == WHOLE_GENERATION else f"generation {self.number} of {self.shards}"


WHOLE_GENERATION: Final = Generation(0, 1)


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One shard of a generation, `index` from 0."""

    generation: Generation
    index: int

    @property
    def label(self) -> str | None:
        """Such as `3.1of4`; None for the whole."""
        number, shards = self.generation.number, self.generation.shards
        return None if self.generation == WHOLE_GENERATION else f"{number}.{self.index}of{shards}"

    def slot(self, base: str) -> str:
        """Return the name of its slot; `base` is SLOT_NAME."""
        return self._named(base)

    def publication(self, base: str) -> str:
        """Return the name of its publication; `base` is PUBLICATION_NAME."""
        return self._named(base)

    def source(self, history: bytes) -> bytes:
        """Return the source of its records: two shards may give the same position to different records."""
        return history if self.label is None else b"%s#%s" % (history, self.label.encode())

    def _named(self, base: str) -> str:
        generation = self.generation
        if generation == WHOLE_GENERATION:
            return base
        return f"{base}_g{generation.number}_{self.index}of{generation.shards}"

    @classmethod
    def parse(cls, base: str, name: str) -> Self | None:
        """Return whose name this is, of a slot or a publication; None if it is none of this base."""
        if name == base:
            return cls(WHOLE_GENERATION, 0)
        return cls._parse(_SUFFIX.fullmatch(name[len(base) :])) if name.startswith(base) else None

    @classmethod
    def of_source(cls, source: bytes) -> Self:
        """Return which shard a source names."""
        return cls._parse(_SOURCE.search(source)) or cls(WHOLE_GENERATION, 0)

    @classmethod
    def _parse(cls, match: re.Match[str] | re.Match[bytes] | None) -> Self | None:
        if match is None:
            return None
        number, index, shards = (int(each) for each in match.groups())
        return cls(Generation(number, shards), index) if index < shards else None


WHOLE: Final = Part(WHOLE_GENERATION, 0)
"""The engine without shards."""


def is_part_name(name: str) -> bool:
    """Say whether a name is one that only a shard may have."""
    return re.search(f"{_SUFFIX.pattern}$", name) is not None


def history_of(source: bytes) -> bytes:
    """Return the history that a source belongs to: itself, without the shard."""
    return _SOURCE.sub(b"", source)


def older_generation(source: bytes, of: bytes) -> bool:
    """Say whether `source` is of the same history as `of`, in another generation.

    In a partition everything of one generation lies before everything of the next one: see `cdc.shards.handover`.
    """
    if source == of or history_of(source) != history_of(of):
        return False
    return Part.of_source(source).generation != Part.of_source(of).generation


def generations(parts: Iterable[Part]) -> tuple[Generation, ...]:
    """Return the generations that some parts belong to, in order."""
    return tuple(sorted({part.generation for part in parts}))
