"""Owns the topics of the measurement: created for a turn, asked for their ends, read whole. Decides nothing."""

from collections.abc import Iterator

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # no __all__

from stack.errors import StackError

PARTITIONS = 6
_BATCH = 10_000
_SECONDS = 60
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Topic:
    """One topic whose records carry the broker's own time.

    Args:
        bootstrap: The broker's address.
        name: A name that was not used before.
    """

    def __init__(self, bootstrap: str, name: str) -> None:
        self.name = name
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        stamped = NewTopic(name, PARTITIONS, 1, config={"message.timestamp.type": "LogAppendTime"})
        for made in self._admin.create_topics([stamped]).values():
            made.result(timeout=_SECONDS)

    def ends(self) -> dict[int, int]:
        """Return the end of each partition."""
        places = [TopicPartition(self.name, partition) for partition in range(PARTITIONS)]
        asked = self._admin.list_offsets(dict.fromkeys(places, _LATEST))
        return {place.partition: answer.result(timeout=_SECONDS).offset for place, answer in asked.items()}

    def total(self) -> int:
        """Return how many records there are."""
        return sum(self.ends().values())

    def read(self, at_most: int | None = None) -> Iterator[Message]:
        """Give every record that is there now, in the order of each partition.

        Raises:
            StackError: They cannot be read.
        """
        ends = {partition: end for partition, end in self.ends().items() if end > 0}
        left = sum(ends.values()) if at_most is None else min(at_most, sum(ends.values()))
        reader = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "bench", "enable.auto.commit": False})
        try:
            reader.assign([TopicPartition(self.name, partition, 0) for partition in ends])
            while left > 0:
                messages = reader.consume(min(left, _BATCH), timeout=_SECONDS)
                if not messages:
                    raise StackError(f"{self.name}: {left} records cannot be read.", "See `logs/kafka.log`.")
                yield from messages
                left -= len(messages)
        finally:
            reader.close()

    def delete(self) -> None:
        """Give its space back."""
        for deleted in self._admin.delete_topics([self.name]).values():
            deleted.result(timeout=_SECONDS)
