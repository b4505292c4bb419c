"""Owns what one measurement consists of: shapes of transactions, contenders, rounds, paces. Pure data."""

from dataclasses import dataclass
from typing import Final, Literal

Contender = Literal["native", "debezium", "debezium_default", "limit"]
"""Our engine, Debezium tuned, Debezium as shipped, and what walsender and broker give by themselves."""

CONTENDERS: Final[tuple[Contender, ...]] = ("native", "debezium", "debezium_default", "limit")

Compression = Literal["none", "lz4", "snappy", "zstd"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Describe a backlog.

    Attributes:
        name: As it is reported.
        transactions: How many transactions it has.
        events: How many events each of them writes.
        size: About how many bytes the value of a record has.
    """

    name: str
    transactions: int
    events: int
    size: int = 300

    @property
    def records(self) -> int:
        """Return how many records it comes to."""
        return self.transactions * self.events


@dataclass(frozen=True, slots=True)
class Pace:
    """Describe an open loop: one-event transactions at random moments of a fixed rate.

    Attributes:
        name: As it is reported.
        rate: Transactions a second; None for half of what the contender's drain has shown, the plan's limit at most.
        seconds: How long.
    """

    name: str
    rate: int | None
    seconds: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Describe a measurement.

    Attributes:
        shapes: The backlogs; the first is the one whose ratios are told first and whose turns end with the paces.
        contenders: Who is measured.
        rounds: How often each is measured, in turn.
        paces: The open loops.
        highest_rate: The highest rate of an open loop that the generator is asked for.
        compression: Of every producer in it.
    """

    shapes: tuple[Shape, ...]
    contenders: tuple[Contender, ...]
    rounds: int
    paces: tuple[Pace, ...]
    highest_rate: int
    compression: Compression

    def order(self, number: int) -> tuple[Contender, ...]:
        """Return the engines of one round: each round begins with another one, so that none is always the first.

        The limit is measured on the backlog of our own engine, within its turn.
        """
        engines = [each for each in self.contenders if each != "limit"]
        first = number % len(engines)
        return (*engines[first:], *engines[:first])

    def paces_of(self, contender: Contender, shape: Shape) -> tuple[Pace, ...]:
        """Return the open loops of a turn; half of its maximum is asked of our engine and of Debezium tuned alone."""
        if shape is not self.shapes[0]:
            return ()
        return tuple(each for each in self.paces if each.rate is not None or contender in {"native", "debezium"})


SHAPES: Final = {"single": Shape("single", 120_000, 1), "batch": Shape("batch", 2_500, 100)}
QUICK_SHAPES: Final = {"single": Shape("single", 40_000, 1), "batch": Shape("batch", 800, 100)}
PACES: Final = (Pace("100", 100, 10), Pace("1000", 1_000, 8), Pace("half", None, 6))
QUICK_PACES: Final = (Pace("100", 100, 4), Pace("1000", 1_000, 4), Pace("half", None, 3))
