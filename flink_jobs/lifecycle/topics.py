"""Owns what the life of filters asks of the broker: which topics and groups there are, what is unread, and deletion.

Creation is not here: topics are created by their declaration, in one place for all stages. Must never decide what may
go.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # no __all__

from flink_jobs.lifecycle.deployment import TopicError

_SECONDS: Final = 15.0
_NOT_THERE: Final = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_TOPIC_OR_PART})

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class TopicState:
    """Hold what a topic has in store.

    Attributes:
        records: How many offsets it holds now; with transactions, a few of them are markers.
        unread: How many of them a group has not committed, by group; groups that never read it are absent.
    """

    records: int
    unread: Mapping[str, int]


class Broker:
    """Ask one Kafka cluster.

    Args:
        bootstrap_servers: Where it is, as this process reaches it.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._address = bootstrap_servers
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def topics(self) -> frozenset[str]:
        """Return the names of all topics.

        Raises:
            TopicError: The broker does not answer.
        """
        try:
            return frozenset(self._admin.list_topics(timeout=_SECONDS).topics)
        except KafkaException as error:
            raise TopicError(f"no answer from Kafka at {self._address}: {_told(error)}") from error

    def groups(self) -> Mapping[str, bool]:
        """Map each consumer group to whether it has no member.

        Raises:
            TopicError: The broker does not answer.
        """
        found = self._answer(self._admin.list_consumer_groups(request_timeout=_SECONDS), "the list of groups")
        return {each.group_id: each.state is ConsumerGroupState.EMPTY for each in found.valid}

    def state(self, topic: str, groups: Iterable[str]) -> TopicState:
        """Return what a topic holds, and what of it these groups have not read.

        Raises:
            TopicError: The broker does not answer.
        """
        try:
            partitions = self._admin.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
        except KafkaException as error:
            raise TopicError(f"no answer from Kafka at {self._address}: {_told(error)}") from error
        places = [TopicPartition(topic, partition) for partition in partitions]
        first = self._offsets(places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = self._offsets(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        unread = {}
        for group in groups:
            committed = self._committed(group, places)
            if committed:
                unread[group] = sum(
                    max(0, end[place] - max(first[place], committed.get(place.partition, 0))) for place in places
                )
        return TopicState(sum(end[place] - first[place] for place in places), unread)

    def delete_topic(self, name: str) -> None:
        """Delete one topic; one that is not there any more is deleted.

        Raises:
            TopicError: The broker refuses.
        """
        self._gone(self._admin.delete_topics([name], operation_timeout=_SECONDS)[name], f"the topic {name}")

    def delete_group(self, name: str) -> None:
        """Delete one consumer group; one that is not there any more is deleted.

        Raises:
            TopicError: The broker refuses; it does while the group has members.
        """
        deleted = self._admin.delete_consumer_groups([name], request_timeout=_SECONDS)[name]
        self._gone(deleted, f"the group {name}")

    def _offsets(self, places: list[TopicPartition], which: OffsetSpec) -> Offsets:
        asked = self._admin.list_offsets(
            dict.fromkeys(places, which), isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_SECONDS
        )
        return {place: self._answer(answer, f"the offsets of {place.topic}").offset for place, answer in asked.items()}

    def _committed(self, group: str, places: list[TopicPartition]) -> Mapping[int, int]:
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, places)], request_timeout=_SECONDS
        )
        found = self._answer(asked[group], f"the offsets of the group {group}").topic_partitions
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def _answer(self, asked: "Future[Any]", what: str) -> Any:
        try:
            return asked.result(_SECONDS)
        except (KafkaException, TimeoutError) as error:
            raise TopicError(f"Kafka at {self._address} does not give {what}: {_told(error)}") from error

    def _gone(self, asked: "Future[Any]", what: str) -> None:
        try:
            asked.result(_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in _NOT_THERE:
                raise TopicError(f"{what} is not deleted: {_told(error)}") from error
        except TimeoutError as error:
            raise TopicError(f"{what} is not deleted within {_SECONDS:.0f} s") from error


def _told(error: Exception) -> str:
    return error.args[0].str() if isinstance(error, KafkaException) else str(error) or type(error).__name__
