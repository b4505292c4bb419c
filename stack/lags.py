"""Owns how far consumer groups are behind their topics, as `headwater status` tells it. Must never join a group.

A group is ours when it is a declared one (FL-80), or has committed offsets on a filtered topic. Lag is counted in
records up to the last stable offset, which is where a read-committed reader gets to; without a committed offset, from
the beginning, where a new group starts (FL-83). Source of facts: Kafka documentation, "Admin API".
"""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from consumers import GROUPS

_PREFIX: Final = "filtered-"
_SECONDS: Final = 5

Place = tuple[str, int]
"""A topic and a partition of it."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Say how far one group is behind one topic.

    Attributes:
        group: The consumer group.
        topic: The filtered topic.
        members: How many consumers the group has now.
        lag: How many records it has not handled.
    """

    group: str
    topic: str
    members: int
    lag: int


@dataclass(frozen=True, slots=True)
class _Range:
    begin: int
    end: int

    def after(self, committed: int | None) -> int:
        """Count the records from an offset on; what retention has deleted by now is nobody's any more."""
        return max(0, self.end - max(self.begin, committed or 0))


def lags(bootstrap: str) -> tuple[Lag, ...]:
    """Ask the broker for the lag of every group of ours, ordered by topic and group.

    A group that has never read and whose topic is not there is left out.

    Raises:
        KafkaException: The broker does not answer, or refuses.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    found = admin.list_topics(timeout=_SECONDS).topics
    places = [
        TopicPartition(name, number)
        for name, topic in found.items()
        if name.startswith(_PREFIX)
        for number in topic.partitions
    ]
    if not places:
        return ()
    ranges = _ranges(admin, places)
    declared = {(group, topic.topic) for topic in places for base, group in GROUPS.items() if _reads(base, topic.topic)}
    listed = {each.group_id for each in admin.list_consumer_groups(request_timeout=_SECONDS).result().valid}
    committed = {group: _committed(admin, group) for group in sorted(listed)}
    ours = declared | {(group, topic) for group, held in committed.items() for topic, _ in held if topic in found}
    ours = {(group, topic) for group, topic in ours if topic.startswith(_PREFIX)}
    members = _members(admin, sorted({group for group, _ in ours} & listed))
    return tuple(
        Lag(group, topic, members.get(group, 0), _lag(topic, ranges, committed.get(group, {})))
        for topic, group in sorted((topic, group) for group, topic in ours)
    )


def _reads(base: str, topic: str) -> bool:
    """Tell whether a topic is a declared one with the mark of a processor, such as `-flink`."""
    rest = topic.removeprefix(base)
    longer = any(len(other) > len(base) and topic.startswith(other) for other in GROUPS)
    return topic.startswith(base) and rest.count("-") <= 1 and not longer


def _lag(topic: str, ranges: Mapping[Place, _Range], committed: Mapping[Place, int]) -> int:
    return sum(held.after(committed.get(place)) for place, held in ranges.items() if place[0] == topic)


def _ranges(admin: AdminClient, places: list[TopicPartition]) -> dict[Place, _Range]:
    begins, ends = (
        _offsets(admin.list_offsets(dict.fromkeys(places, spec), request_timeout=_SECONDS, isolation_level=level))
        for spec, level in (
            (OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED),  # type: ignore[no-untyped-call]
            (OffsetSpec.latest(), IsolationLevel.READ_COMMITTED),  # type: ignore[no-untyped-call]
        )
    )
    return {place: _Range(begins[place], end) for place, end in ends.items() if place in begins}


def _offsets(answers: Mapping[TopicPartition, "Future[Any]"]) -> dict[Place, int]:
    return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}


def _committed(admin: AdminClient, group: str) -> dict[Place, int]:
    asked = [ConsumerGroupTopicPartitions(group)]
    (answer,) = admin.list_consumer_group_offsets(asked, request_timeout=_SECONDS).values()
    try:
        held = answer.result().topic_partitions
    except KafkaException:
        # Gone since it was listed.
        return {}
    return {(each.topic, each.partition): each.offset for each in held if each.offset >= 0}


def _members(admin: AdminClient, groups: list[str]) -> dict[str, int]:
    if not groups:
        return {}
    counted = {}
    for group, answer in admin.describe_consumer_groups(groups, request_timeout=_SECONDS).items():
        try:
            counted[group] = len(answer.result().members)
        except KafkaException:
            counted[group] = 0
    return counted
