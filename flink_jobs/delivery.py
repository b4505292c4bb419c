"""Owns what a delivery guarantee means to the job's Kafka writers: their options, and how its transactions are named.

Must never start or end a transaction; the connector does that, at each checkpoint. Facts: Kafka SQL connector 5.0,
`sink.transaction-naming-strategy`; FLIP-511.
"""

from dataclasses import dataclass
from enum import StrEnum


class Guarantee(StrEnum):
    """Name a promise about how often a record comes out when something fails on the way."""

    AT_LEAST_ONCE = "at-least-once"
    """Written at once; after a failure, what came since the newest checkpoint is written again."""
    EXACTLY_ONCE = "exactly-once"
    """Written in transactions, each committed with a checkpoint: a read-committed reader sees every record once."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Say how the job writes.

    Attributes:
        guarantee: The promise.
        transactions: How the names of its transactions begin; other jobs on the broker need another beginning, and this
            one keeps its own for good: by it the job finds, and aborts, what an earlier life has left open.
        timeout_seconds: When the broker aborts a transaction of which it hears nothing, a complete checkpoint's as
            well: longer than the job is ever away.
    """

    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    transactions: str = "headwater-filters"
    timeout_seconds: int = 900

    def options(self, writer: str) -> dict[str, str]:
        """Return the options of one writer, whose name tells its transactions from those of the others."""
        given = {"sink.delivery-guarantee": str(self.guarantee)}
        if self.guarantee is Guarantee.EXACTLY_ONCE:
            given |= {
                "sink.transactional-id-prefix": f"{self.transactions}-{writer}",
                # A few names that are used again, and what is left open is found by asking the broker. The other
                # strategy burns a name at each checkpoint, of which the broker keeps every one for a week.
                "sink.transaction-naming-strategy": "pooling",
                "properties.transaction.timeout.ms": str(self.timeout_seconds * 1000),
            }
        return given
