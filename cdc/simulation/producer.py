"""Owns the simulated client of one engine process: queues, requests under way, and their acknowledgements.

It behaves as `cdc.sink` configures librdkafka: idempotent, in order, up to five requests under way for each partition,
retried for ever. Requests and answers can be delayed, lost, or overtake each other.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from cdc.errors import BrokerError, Kind
from cdc.ledger import Span
from cdc.readback import Place
from cdc.records import Record
from cdc.simulation.broker import Batch, Broker, describe

_MOST_UNDER_WAY: Final = 5
_MOST_RECORDS: Final = 3

_ARRIVES, _DELAYED, _PARTLY, _UNANSWERED, _OVERTAKEN = range(5)


class Producer:
    """A sink for one life of the engine."""

    def __init__(self, broker: Broker) -> None:
        """Begin with nothing under way."""
        self._broker = broker
        self._fate = broker.fate
        self._id = broker.new_producer()
        self._queues: dict[Place, deque[tuple[Record, Span]]] = {}
        self._under_way: dict[Place, deque[tuple[Batch, Sequence[Span]]]] = {}
        self._sequences: dict[Place, int] = {}
        self._answers: list[Span] = []

    def send(self, record: Record, span: Span) -> None:
        """Queue a record.

        Raises:
            BrokerError: The producer fails here.
        """
        self._fate.step(_failed)
        place = self._broker.place_of(record)
        if self._fate.trace is not None:
            self._fate.note(f"sent to {place[0]}-{place[1]}: {describe(record)}")
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = deque()
            self._under_way[place] = deque()
        queue.append((record, span))

    def poll(self, timeout: float) -> None:
        """Let requests and answers travel; then acknowledge some of what was answered, in any order.

        Raises:
            BrokerError: The producer fails here.
        """
        fate = self._fate
        fate.step(_failed)
        fate.now += timeout
        if not self._broker.away():
            for place, queue in self._queues.items():
                under_way = self._under_way[place]
                if queue or under_way:
                    self._form_batches(place)
                    self._travel(place, under_way)
        answers = self._answers
        held_back = fate.below(3) if answers else 0
        while len(answers) > held_back:
            answers.pop(fate.below(len(answers)) if held_back else -1).acknowledge()

    def die(self, *, purged: bool) -> None:
        """Leave behind what is under way; unless the queue was purged, a part of it has set out as well."""
        if not purged:
            for place in self._queues:
                self._form_batches(place)
        self._broker.leave_behind([batch for waiting in self._under_way.values() for batch, _ in waiting])

    def _form_batches(self, place: Place) -> None:
        queue, under_way = self._queues[place], self._under_way[place]
        while queue and len(under_way) < _MOST_UNDER_WAY:
            size = min(len(queue), _MOST_RECORDS - self._fate.below(_MOST_RECORDS))
            taken = [queue.popleft() for _ in range(size)]
            sequence = self._sequences.get(place, 0)
            self._sequences[place] = sequence + 1
            batch = Batch(self._id, place, sequence, [record for record, _ in taken])
            under_way.append((batch, [span for _, span in taken]))

    def _travel(self, place: Place, under_way: deque[tuple[Batch, Sequence[Span]]]) -> None:
        fate = self._fate
        outcome = fate.below(5)
        if outcome == _DELAYED:
            return
        arriving = [batch for batch, _ in under_way]
        if outcome == _PARTLY:
            arriving = arriving[: 1 + fate.below(len(arriving))]
        elif outcome == _OVERTAKEN:
            # A later request comes first and is refused; it is sent again in its turn.
            arriving.insert(0, arriving.pop())
        for batch in arriving:
            if self._broker.append(batch) and outcome != _UNANSWERED and batch is under_way[0][0]:
                self._answers += under_way.popleft()[1]
        if fate.trace is not None and outcome == _UNANSWERED:
            fate.note(f"the answers of {place[0]}-{place[1]} are lost; the requests will be sent again")


def _failed() -> BrokerError:
    return BrokerError(Kind.PRODUCER_FAILED, "the simulated producer fails")
