"""Owns what is left over: topics, consumer groups and plans that no filter names any more (FL-77).

A topic is ours if it has our suffix and a record of ours says that a filter wrote to it; no other is ever deleted. What
the running job writes to is in use, whatever the file says, and where what runs is not known, nothing is removed. Must
never ask a person: it lists, and removes what it is given.
"""

import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from flink_jobs.filters import Filter, FilterSet
from flink_jobs.lifecycle.deployment import Running
from flink_jobs.lifecycle.records import Ran
from flink_jobs.lifecycle.topics import Broker
from flink_jobs.settings import FlinkSettings
from flink_jobs.submission import Submitter


class CleanupError(RuntimeError):
    """Say why it cannot be told what is left over."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Name one thing that no filter names.

    Attributes:
        kind: `topic`, `group` or `plan`.
        name: Its name.
        ours: Whether it may be removed; what is not ours is shown and left alone.
        records: For a topic, how many records it holds.
        unread: For a topic, how many of them some reader of ours has not read; all, where nobody has read it.
        remark: Why it stays, or a warning; empty if there is nothing to say.
    """

    kind: str
    name: str
    ours: bool
    records: int = 0
    unread: int = 0
    remark: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return asdict(self)


def group_of(one: Filter) -> str:
    """Return the consumer group of a filter's consumer (FL-80)."""
    name = one.consumer_id
    return name if name.endswith("-group") else f"{name}-group"


def leftovers(
    filters: FilterSet, settings: FlinkSettings, submitter: Submitter, runs: Running, broker: Broker
) -> list[Leftover]:
    """List what no filter names.

    Args:
        filters: The file.
        settings: The suffix of our topics, and where plans are.
        submitter: The records of what ran.
        runs: What runs now.
        broker: The Kafka cluster.

    Raises:
        CleanupError: A job runs of which it is not known what it writes to.
        TopicError: The broker does not answer.
    """
    if runs.job is not None and runs.ran is None:
        raise CleanupError(
            f"which filters job {runs.job.id} runs is not recorded; run `headwater filters deploy` first"
        )
    # A job that is missing for the moment comes back, and writes to its topics again.
    coming = submitter.records.find(submitter.plans.current)
    named = [one for each in (filters, runs.ran, coming) if each is not None for one in _filters(each)]
    known = [one for ran in submitter.records.every() for one in ran.filters.filters]
    return [
        *_topics(named, known, settings, broker),
        *_groups(named, known, settings, broker),
        *_plans(settings, submitter, runs),
    ]


def _filters(each: FilterSet | Ran) -> tuple[Filter, ...]:
    return each.filters if isinstance(each, FilterSet) else each.filters.filters


def remove(found: Iterable[Leftover], settings: FlinkSettings, broker: Broker) -> list[Leftover]:
    """Remove those that are ours, and return them.

    Raises:
        TopicError: The broker refuses one.
    """
    removed = []
    for each in found:
        if not each.ours:
            continue
        match each.kind:
            case "topic":
                broker.delete_topic(each.name)
            case "group":
                broker.delete_group(each.name)
            case _:
                shutil.rmtree(settings.flink_plan_dir / each.name)
        removed.append(each)
    return removed


def _topics(named: list[Filter], known: list[Filter], settings: FlinkSettings, broker: Broker) -> list[Leftover]:
    suffix = settings.topic_suffix
    kept = {settings.cdc_topic, settings.dead_letter_topic, *(each.output_topic + suffix for each in named)}
    readers: dict[str, set[str]] = {}
    for each in known:
        if each.runs_on_flink:
            readers.setdefault(each.output_topic + suffix, set()).add(group_of(each))
    found = []
    for name in sorted(broker.topics() - kept):
        if not suffix or not name.endswith(suffix):
            continue
        if name not in readers:
            found.append(Leftover("topic", name, ours=False, remark="no record that a filter of ours wrote to it"))
            continue
        state = broker.state(name, sorted(readers[name]))
        unread = max(state.unread.values(), default=state.records)
        remark = f"{unread} RECORDS THAT NOBODY HAS READ GO WITH IT" if unread else ""
        found.append(Leftover("topic", name, ours=True, records=state.records, unread=unread, remark=remark))
    return found


def _groups(named: list[Filter], known: list[Filter], settings: FlinkSettings, broker: Broker) -> list[Leftover]:
    ours = {group_of(each) for each in known} - {group_of(each) for each in named} - {settings.flink_consumer_group}
    idle = broker.groups()
    return [
        Leftover("group", name, ours=idle[name], remark="" if idle[name] else "it has members; stop its consumer first")
        for name in sorted(ours & idle.keys())
    ]


def _plans(settings: FlinkSettings, submitter: Submitter, runs: Running) -> list[Leftover]:
    kept = {runs.digest, submitter.plans.current}
    names = sorted(file.parent.name for file in settings.flink_plan_dir.glob("*/plan.json"))
    return [Leftover("plan", name, ours=True) for name in names if name not in kept]
