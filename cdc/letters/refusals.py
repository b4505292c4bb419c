"""Owns what the engine learns from a broker that refuses a record although it should fit. Lives as long as the engine.

A broker refuses whole batches, and its limit may be lowered while we run or may be kept from us. So the first refusal
makes the next session ask for the limits again; if that does not help, one record a batch names the culprit; and the
session after that makes it a dead letter.
"""

from dataclasses import dataclass

from cdc.lsn import Position
from cdc.records import TopicName


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused record; without position and key when it is one of a batch, nobody knows which."""

    topic: TopicName
    position: Position | None = None
    key: bytes = b""


class Refusals:
    """Decide from session to session how to get past what was refused."""

    def __init__(self) -> None:
        self.careful = False
        """Whether every batch is to hold one record only."""
        self.places: frozenset[tuple[TopicName, Position | bytes]] = frozenset()
        """The records to make dead letters of, whatever their size."""
        self._asked_again = False

    def learn(self, refusal: Refusal, *, known: bool, steady: bool) -> bool:
        """Take a refusal; return whether the next session may get past it.

        Args:
            refusal: What was refused.
            known: Whether the broker tells the limit of the topic.
            steady: Whether the session ran well for a while: the trouble is then a new one.
        """
        if refusal.position is not None:
            place = (refusal.topic, refusal.position)
            if place in self.places:
                return False
            self.places |= {place, (refusal.topic, refusal.key)}
            return True
        self._asked_again = known and (steady or not self._asked_again)
        self.careful |= not self._asked_again
        return True
