"""Owns what a schedule is made of besides crashes and delays: a few ingredients each, so that schedules stay small."""

from dataclasses import dataclass
from typing import Final, Self

from cdc.simulation.fate import Fate


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What happens in a schedule, or is kept in it, besides plain transactions."""

    letters: bool = False
    """Rows that no record can hold, and records too large for their topic, with a dead-letter topic."""
    truncations: bool = False
    """TRUNCATE, emitted to every partition."""
    messages: bool = False
    """Logical messages, within transactions and outside of any, routed to a topic."""
    bookmark: bool = False
    """The broker keeps a bookmark of the slot."""
    meddling: bool = False
    """Somebody else creates the slot anew or moves it."""

    @classmethod
    def choose(cls, fate: Fate) -> Self:
        """Choose a mixture: plain, one ingredient, two, or all of them."""
        mixture = _MIXTURES[fate.below(len(_MIXTURES))]
        return cls(**dict.fromkeys(mixture, True))


_MIXTURES: Final[tuple[tuple[str, ...], ...]] = (
    (),
    (),
    ("letters",),
    ("truncations",),
    ("messages",),
    ("bookmark",),
    ("bookmark", "meddling"),
    ("letters", "truncations"),
    ("letters", "messages"),
    ("messages", "bookmark", "meddling"),
    ("letters", "truncations", "messages", "bookmark", "meddling"),
)
