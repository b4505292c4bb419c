"""Owns the keeping of bookmarks in Kafka: a consumer group's committed offset on the engine's topic, and its metadata.

The group has no member and consumes nothing. The offset itself is the LSN as a number, so that whoever watches lags
sees none; the text beside it counts. Needs the rights to read the topic and to read the group, as any consumer does.
Nothing here blocks the loop: a write returns at once, whatever the broker does. Not the admin client's calls, which
do the same: librdkafka's crash the process where the group has just moved to another broker (librdkafka issue 5040).
Source of facts: Kafka's protocol, OffsetCommit (metadata) and OffsetFetch; `offsets.retention.minutes`.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, Self

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc.errors import BrokerError, Kind
from cdc.failpoints import Failpoint, reach
from cdc.kafka import broker_error, client_config, shared_settings
from cdc.policy import Stop, decide
from cdc.records import TopicName
from cdc.settings import Settings
from cdc.slots.bookmark import Bookmark

_log: Final = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 10.0
_WAIT_S: Final = 0.5


class _Commit:
    """An offset commit under way; asking whether it is done is what lets its answer in."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.answer: list[KafkaError | None] = []

    def done(self) -> bool:
        """Say whether Kafka has answered."""
        if not self.answer:
            self._consumer.poll(0)
        return bool(self.answer)

    def check(self) -> None:
        """Return if Kafka has stored it.

        Raises:
            BrokerError: It has not.
        """
        error = self.answer[0]
        if error is not None:
            raise broker_error(error)


class KafkaShelf:
    """The bookmarks of one group on some topics: partition 0 of the first is written, all of them are read."""

    def __init__(
        self, bootstrap_servers: str, given: Mapping[str, str], group: str, topics: Collection[TopicName]
    ) -> None:
        """Create the client; it connects in the background.

        Raises:
            BrokerError: The settings are not librdkafka's.
        """
        config = client_config(bootstrap_servers, shared_settings(given))
        # The producer of the same session has the same troubles and says them.
        del config["logger"]
        given_here = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "log_level": 0,
            "on_commit": self._answered,
        }
        try:
            self._consumer = Consumer({**config, **given_here})
        except KafkaException as error:
            raise BrokerError(Kind.SETTINGS, broker_error(error).args[0]) from error
        self._topics = sorted(topics)
        self._commits: list[_Commit] = []

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Return the shelf that the settings ask for, None for none.

        Raises:
            BrokerError: The settings are not librdkafka's.
        """
        if not settings.bookmark_group:
            return None
        topics = {settings.topic_of(table) for table in settings.cdc_tables}
        brokers, given = settings.kafka_bootstrap_servers, settings.cdc_kafka_config
        return cls(brokers, given, settings.bookmark_group, topics)

    def write(self, bookmark: Bookmark) -> _Commit:
        """Begin to replace the bookmark; return at once."""
        reach(Failpoint.BOOKMARK_DUE)
        commit = _Commit(self._consumer)
        place = TopicPartition(self._topics[0], 0, int(bookmark.lsn) & (2**63 - 1), bookmark.encode())
        self._commits.append(commit)
        try:
            self._consumer.commit(offsets=[place], asynchronous=True)
        except KafkaException as error:
            self._commits.remove(commit)
            commit.answer.append(error.args[0])
        return commit

    def put(self, bookmark: Bookmark, waiting: Callable[[], None]) -> None:
        """Replace the bookmark and wait until it is stored; where Kafka refuses to keep one, go on without.

        Raises:
            BrokerError: Kafka cannot be reached.
        """

        def write() -> None:
            commit, until = self.write(bookmark), time.monotonic() + _WAIT_S
            while not commit.done():
                if time.monotonic() >= until:
                    raise BrokerError(Kind.BROKER_UNREACHABLE, "no answer while putting the bookmark")
                self._consumer.poll(_WAIT_S / 50)
            commit.check()

        self._insist(write, waiting)

    def read(self, waiting: Callable[[], None]) -> tuple[Bookmark, ...]:
        """Return the bookmarks of the topics, none where Kafka keeps none or does not let us read it.

        Args:
            waiting: Called while waiting; keeps the replication connection alive, or raises to give up.

        Raises:
            BrokerError: Kafka cannot be reached.
        """
        found: list[TopicPartition] = []

        def ask() -> None:
            places = [TopicPartition(topic, 0) for topic in self._topics]
            found[:] = self._consumer.committed(places, timeout=_WAIT_S)
            for each in found:
                if each.error is not None:
                    raise broker_error(each.error)

        self._insist(ask, waiting)
        kept = [Bookmark.decode(each.metadata or "") for each in found]
        return tuple(each for each in kept if each is not None)

    def close(self) -> None:
        """Let go of the client; with a broker that does not answer that may last, so nobody waits for it."""
        threading.Thread(target=self._consumer.close, name="cdc-bookmark-close", daemon=True).start()

    def _insist(self, ask: Callable[[], None], waiting: Callable[[], None]) -> None:
        """Ask until there is an answer; a broker that has just started finds its groups only after a moment."""
        until = time.monotonic() + _TIMEOUT_S
        while True:
            waiting()
            try:
                ask()
            except (BrokerError, KafkaException) as caught:
                error = caught if isinstance(caught, BrokerError) else broker_error(caught)
                decision = decide(error.kind)
                if error.kind is Kind.GROUP_RIGHT and isinstance(decision, Stop):
                    _log.warning("bookmark_refused", kind=error.kind.value, detail=str(error), remedy=decision.remedy)
                    return
                if isinstance(decision, Stop) or time.monotonic() >= until:
                    raise error from caught
                self._consumer.poll(_WAIT_S / 10)
            else:
                return

    def _answered(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        # Answers come in the order of the commits: one connection, one coordinator.
        if self._commits:
            of_place = next((each.error for each in places if each.error is not None), None)
            self._commits.pop(0).answer.append(error or of_place)
            reach(Failpoint.BOOKMARK_WRITTEN)
